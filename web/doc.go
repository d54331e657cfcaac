// Package web is the door for people: pages rendered on the server, in Chinese
// and English, that need no JavaScript and work on a phone and in WeChat's
// browser. The one page with scripts is /graphiql.
//
// A handler reads the form, calls one service and shows the answer: it holds no
// rule. What a service refuses (*fault.Error) is shown in the reader's language
// beside the field it is about, and nothing was changed. Every form carries a
// fresh idempotency key, so that a press repeated by a bad connection counts
// once. Absent and foreign objects get the same page.
//
// Texts stand in words*.go, each in both languages; a page that names a text
// which is not there fails when the templates are loaded.
package web
