package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/uptrace/bun"
)

// Attached are the files beside the database that an archive carries.
type Attached interface {
	// Names lists them as of the archive's moment.
	Names(ctx context.Context, q bun.IDB) ([]string, error)
	// Open gives one with its size; nil = it is not there and is left out.
	Open(name string) (io.ReadCloser, int64, error)
	// Put makes one durable, or refuses what is not what its name says.
	Put(name string, size int64, r io.Reader) error
}

// attachedChunk is how many bytes of a file stand in one line.
const attachedChunk = 48 << 10

func dumpAttached(ctx context.Context, enc *json.Encoder, from Attached, names []string) error {
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := dumpOne(enc, from, name); err != nil {
			return fmt.Errorf("dump the file %s: %w", name, err)
		}
	}
	return nil
}

func dumpOne(enc *json.Encoder, from Attached, name string) error {
	f, size, err := from.Open(name)
	if err != nil || f == nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if err := enc.Encode(dumpLine{File: name, Size: size}); err != nil {
		return err
	}
	buf := make([]byte, attachedChunk)
	for left := size; left > 0; {
		n, err := io.ReadFull(f, buf[:min(left, attachedChunk)])
		if err != nil {
			return err
		}
		if err := enc.Encode(dumpLine{Data: buf[:n]}); err != nil {
			return err
		}
		left -= int64(n)
	}
	return nil
}

// attachedReader reads a file out of the lines of an archive.
type attachedReader struct {
	dec  *json.Decoder
	left int64
	data []byte
}

// Read implements io.Reader.
func (r *attachedReader) Read(p []byte) (int, error) {
	if len(r.data) == 0 {
		if r.left == 0 {
			return 0, io.EOF
		}
		var l dumpLine
		if err := r.dec.Decode(&l); err != nil {
			return 0, fmt.Errorf("the archive is cut or damaged: %w", err)
		}
		if len(l.Data) == 0 || int64(len(l.Data)) > r.left {
			return 0, errors.New("the archive is damaged: a file of another size than it says")
		}
		r.data = l.Data
		r.left -= int64(len(l.Data))
	}
	n := copy(p, r.data)
	r.data = r.data[n:]
	return n, nil
}

func restoreAttached(dec *json.Decoder, l dumpLine, to Attached) error {
	r := &attachedReader{dec: dec, left: l.Size}
	if to == nil {
		_, err := io.Copy(io.Discard, r)
		return err
	}
	if err := to.Put(l.File, l.Size, r); err != nil {
		return fmt.Errorf("restore the file %s: %w", l.File, err)
	}
	if r.left > 0 || len(r.data) > 0 {
		return fmt.Errorf("restore the file %s: it was not read to its end", l.File)
	}
	return nil
}
