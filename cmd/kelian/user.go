package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"kelian/internal/app"
	"kelian/internal/config"

	"golang.org/x/term"
)

type userCmd struct {
	Add    userAddCmd    `cmd:"" help:"Add an account."`
	Passwd userPasswdCmd `cmd:"" help:"Set an account's password and end its sessions."`
	Token  userTokenCmd  `cmd:"" help:"Make an API token; it is shown once."`
}

type userAddCmd struct {
	Login string   `arg:"" help:"Student or staff number, or a sign-in name."`
	Name  string   `arg:"" help:"Full name."`
	Seat  []string `help:"Seats to hold from now on, e.g. technical.head."`
}

func (u userAddCmd) Run(ctx context.Context, f *config.Flags) error {
	c, err := settings(f, false)
	if err != nil {
		return err
	}
	password, err := secretLine("Password: ")
	if err != nil {
		return err
	}
	return app.AddUser(ctx, c, app.FirstAccount{Login: u.Login, Name: u.Name, Password: password}, u.Seat, os.Stdout)
}

type userPasswdCmd struct {
	Login string `arg:""`
}

func (u userPasswdCmd) Run(ctx context.Context, f *config.Flags) error {
	c, err := settings(f, false)
	if err != nil {
		return err
	}
	password, err := secretLine("New password: ")
	if err != nil {
		return err
	}
	return app.SetPassword(ctx, c, u.Login, password)
}

type userTokenCmd struct {
	Login string        `arg:""`
	Name  string        `help:"What it is for." default:"console"`
	Scope []string      `help:"Areas, e.g. repair:read; none = all."`
	For   time.Duration `help:"How long it lasts, at most a year." default:"2160h"`
}

func (u userTokenCmd) Run(ctx context.Context, f *config.Flags) error {
	c, err := settings(f, false)
	if err != nil {
		return err
	}
	return app.MintToken(ctx, c, app.TokenRequest{Login: u.Login, Name: u.Name, Scopes: u.Scope, For: u.For}, os.Stdout)
}

// secretLine reads a secret without echo from a terminal, or a line of what is
// piped in; never from an argument, which others on the machine can see.
func secretLine(prompt string) (string, error) {
	if term.IsTerminal(int(os.Stdin.Fd())) {
		fmt.Fprint(os.Stderr, prompt)
		raw, err := term.ReadPassword(int(os.Stdin.Fd()))
		fmt.Fprintln(os.Stderr)
		return string(raw), err
	}
	line, err := bufio.NewReader(os.Stdin).ReadString('\n')
	line = strings.TrimRight(line, "\r\n")
	if line == "" && err != nil {
		return "", fmt.Errorf("no password on standard input")
	}
	return line, nil
}
