package app

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

//go:generate go run kelian/internal/app/gentour ../../docs/tour.md

// TourMarkdown is docs/tour.md.
func TourMarkdown() string {
	var b strings.Builder
	b.WriteString(tourHead)
	for i, s := range Tour() {
		fmt.Fprintf(&b, "\n## %d. %s · %s\n\n%s\n\n%s\n", i+1, s.Title.Zh, s.Title.En, s.Text.Zh, s.Text.En)
		if len(s.Calls) == 0 {
			continue
		}
		b.WriteString("\n```sh\n")
		for _, c := range s.Calls {
			c.write(&b)
		}
		b.WriteString("```\n")
	}
	return b.String()
}

const tourHead = `# 导览 · The tour

<!-- Made by go generate in internal/app from the steps that /demo shows; edit those. -->

在一个终端里运行演示，在另一个终端里照着做。每段后面写着答案里会有什么，` + "`go test ./internal/e2e -run TestTour`" + ` 每次都照着走一遍。

Run the demo in one terminal and do this in another. After each command stands what its answer holds; ` + "`go test ./internal/e2e -run TestTour`" + ` walks the same steps.

` + "```sh" + `
KELIAN_DATA_DIR=/tmp/kelian-demo kelian demo
` + "```" + `

` + "```sh" + `
export KELIAN_DATA_DIR=/tmp/kelian-demo
SITE=$(jq -r .url $KELIAN_DATA_DIR/demo.json)
ADMIN=http://127.0.0.1:8081
account() { jq -r ".accounts[] | select(.login == \"$1\").$2" $KELIAN_DATA_DIR/demo.json; }
password() { account "$1" password; }
key() { head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n'; }
# with TOKEN QUERY [VARIABLES], as LOGIN QUERY [VARIABLES], anybody QUERY [VARIABLES]
with() {
  curl -s $SITE/graphql -H 'Content-Type: application/json' ${1:+-H "Authorization: Bearer $1"} \
    -d "$(jq -n --arg q "$2" --argjson v "${3:-null}" '{query: $q, variables: $v}')"; echo
}
as() { with "$(account $1 token)" "$2" "$3"; }
anybody() { with '' "$@"; }
start=$(date -u -d '+30 days' +%Y-%m-%dT06:00:00Z) end=$(date -u -d '+30 days' +%Y-%m-%dT10:00:00Z)
` + "```" + `
`

// TourName finds what is filled in when a call is made: $name, $(key) and
// $(password login).
var TourName = regexp.MustCompile(`\$([a-z]+)|\$\((key|password [a-z]+)\)`)

// quoted is a shell word in single quotes, with the names outside of them.
func quoted(s string) string {
	return "'" + TourName.ReplaceAllString(s, `'"$0"'`) + "'"
}

func (c TourCall) write(b *strings.Builder) {
	if c.Note.Zh != "" {
		fmt.Fprintf(b, "# %s · %s\n", c.Note.Zh, c.Note.En)
	}
	var line string
	switch {
	case c.Admin != "":
		line = "curl -s -X POST $ADMIN" + c.Admin
	case c.Run != "":
		line = "kelian " + c.Run
	case c.Form != "":
		line = "curl -s -L -H \"Origin: $SITE\" --data " + quoted(c.Form) + " \"$SITE" + c.Page + "\""
	case c.Page != "":
		line = "curl -s \"$SITE" + c.Page + "\""
	default:
		line = c.operation()
	}
	if len(c.Keep) == 0 {
		b.WriteString(line + "\n")
	} else {
		fmt.Fprintf(b, "answer=$(%s); echo \"$answer\"\n", line)
	}
	for _, k := range c.Keep {
		if c.Page != "" {
			fmt.Fprintf(b, "%s=$(grep -Eo %s <<<\"$answer\" | head -n 1)\n", k.Name, quoted(k.Path))
		} else {
			fmt.Fprintf(b, "%s=$(jq -r %s <<<\"$answer\")\n", k.Name, quoted(k.Path))
		}
	}
	for _, s := range c.Shows {
		b.WriteString("#  → ")
		if s.Path != "" {
			fmt.Fprintf(b, "%s = ", s.Path)
		}
		b.WriteString(s.Value)
		if c.Within > 0 {
			fmt.Fprintf(b, "  (≤ %d s)", int(c.Within/time.Second))
		}
		b.WriteString("\n")
	}
}

func (c TourCall) operation() string {
	line := "anybody"
	if strings.HasPrefix(c.As, "$") {
		line = `with "` + c.As + `"`
	} else if c.As != "" {
		line = "as " + c.As
	}
	line += " '" + c.Query + "'"
	if c.Vars != "" {
		line += " \\\n  " + quoted(c.Vars)
	}
	return line
}
