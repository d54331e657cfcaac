// Command gentour writes docs/tour.md.
package main

import (
	"fmt"
	"os"

	"kelian/internal/app"
)

func main() {
	if err := os.WriteFile(os.Args[1], []byte(app.TourMarkdown()), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
