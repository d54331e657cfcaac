package workflow

// HasWords says whether a part of a definition has a name in both languages.
func HasWords(part string) bool { w := partWords[part]; return w.Zh != "" && w.En != "" }

// InboxSQL is the read of the inbox, for the test of its plan.
const InboxSQL = inboxSQL
