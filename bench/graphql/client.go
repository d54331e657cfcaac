package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
)

const (
	requestSheet = `query($id:ID!){requestSheet(id:$id){id number title{zh en} status unit requester{id name} formRev createdAt
		steps{name title{zh en} state openedAt dueAt assignees{id state seat person{id name} openedAt decision{id verdict by{id name} comment at formRev lapsed}}}}}`
	inboxSheet = `{inboxSheet(first:20){rows{id cursor step title{zh en} seat openedAt dueAt request{id number workflow title{zh en} unit requester{id name} urgent formRev}}
		pageInfo{hasNextPage endCursor}}}`
	incidentSheet = `{incidentSheet(first:20){rows{id number title{zh en} open openedAt closedAt roots{name{zh en} host{id name{zh en} address state stateSince}} buildings reason{zh en}}
		pageInfo{hasNextPage endCursor}}}`
	decideTask = `mutation($in:DecideTaskInput!){decideTask(input:$in){request{number status} userErrors{code message}}}`
)

// conn is one client: it does as little as a client can, because it shares the
// processors with the server.
type conn struct {
	c   net.Conn
	r   *bufio.Reader
	out bytes.Buffer
}

func dial(ctx context.Context, address string) (*conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &conn{c: c, r: bufio.NewReaderSize(c, 64<<10)}, nil
}

func (c *conn) close() { _ = c.c.Close() }

// ask sends a request and reads its answer, which must be a good one.
func (c *conn) ask(method, path, token, body string) error {
	c.out.Reset()
	fmt.Fprintf(&c.out, "%s %s HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", method, path, token, len(body), body)
	if _, err := c.c.Write(c.out.Bytes()); err != nil {
		return err
	}
	length, status := -1, ""
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) <= 2 {
			break
		}
		if status == "" {
			status = string(line)
		}
		if name, value, ok := bytes.Cut(line, []byte(": ")); ok && bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return err
			}
		}
	}
	if length < 0 {
		return fmt.Errorf("an answer without a length: %s", status)
	}
	answer := make([]byte, length)
	if _, err := io.ReadFull(c.r, answer); err != nil {
		return err
	}
	if !bytes.Contains([]byte(status), []byte(" 200 ")) || bytes.Contains(answer, []byte(`"errors":`)) || bytes.Contains(answer, []byte(`"userErrors":[{`)) {
		return fmt.Errorf("%s%s", status, answer)
	}
	return nil
}
