package file

import (
	"context"
	"time"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/org"

	"github.com/uptrace/bun"
)

// RefFile and RefUpload are the prefixes of their identifiers.
const (
	RefFile   = "fil"
	RefUpload = "upl"
)

// File is one upload. Its name is a personal value and stands apart.
type File struct {
	bun.BaseModel `bun:"table:file"`

	ID            id.ID     `bun:",pk"`
	SHA256        string    `bun:"sha256"` // of what is kept, 64 hexadecimal digits
	Size          int64     // bytes
	MediaType     string    // told from the content
	Owner         id.ID     `bun:",nullzero"` // zero = a stranger by a link
	ParentKind    string    `bun:",nullzero"` // "" = hangs on nothing yet
	ParentID      id.ID     `bun:",nullzero"`
	PersonalField string    `bun:",nullzero"` // of the parent: the file goes when this value is erased
	CreatedAt     time.Time // business time
	Name          string    `bun:"-"`

	access Access // of whoever asked
}

// Parent is the object that the file hangs on; zero = none.
func (f *File) Parent() outbox.Ref { return outbox.Ref{Kind: f.ParentKind, ID: f.ParentID} }

// Path is where the file is downloaded.
func (f *File) Path() string { return "/files/" + f.ID.TypeID(RefFile) }

// Access is what somebody may do with a file.
type Access int

// What a Parent answers.
const (
	Hidden   Access = iota
	Readable        // may be read
	Recorded        // may be read, and each look is recorded: it is somebody's personal value
)

// Parent is a kind of object that files hang on. MayRead judges the objects
// for the actor once and gives the answer for each of their files.
type Parent interface {
	MayRead(ctx context.Context, actor org.Actor, objects []id.ID) (func(object, file id.ID) Access, error)
}

// Roomy is a Parent some of whose objects take files larger than Limits.Member.
type Roomy interface {
	Parent
	// Room is the size in bytes up to which the actor may upload for the
	// object, at most Limits.Large counts; zero where there is no such object
	// or the actor may not.
	Room(ctx context.Context, actor org.Actor, object id.ID) (int64, error)
}

// Link is what a stranger's link opens. A photo lasts as long as the named
// personal value of the object, "" = for ever.
type Link struct {
	Object        outbox.Ref
	PersonalField string
	Closed        bool // takes no more
}

// Options is what the service is bound to.
type Options struct {
	Dir     string                                                // of the blobs, made when needed
	Parents map[string]Parent                                     // by the prefix of the object's identifier
	Link    func(ctx context.Context, token string) (Link, error) // nil = strangers upload nothing
	Limits  Limits                                                // zero fields = the shipped ones
}

// Limits bound uploads and downloads.
type Limits struct {
	Member    int64         // bytes of a member's file
	Photo     int64         // bytes of a stranger's photo
	Large     int64         // bytes of a resumable upload where its object takes it
	Photos    int           // of strangers for one object
	Waiting   int64         // bytes of a member's files that hang on nothing, and of open uploads
	Pixels    int           // of a stranger's photo
	AtOnce    int           // uploads running
	Each      int           // uploads, and downloads, running of one person or address
	Readers   int           // downloads running
	Stall     time.Duration // in which Pace bytes have to move
	Pace      int
	Unbound   time.Duration // how long a file waits for its object, and an upload for its end
	Unnamed   time.Duration // how long bytes without a row are kept
	NameRunes int
}

// Shipped are the limits where Options says nothing.
var Shipped = Limits{
	Member: 100 << 20, Photo: 10 << 20, Large: 4 << 30, Photos: 5, Waiting: 5 << 30, Pixels: 100_000_000,
	AtOnce: 32, Each: 4, Readers: 256, Stall: 10 * time.Second, Pace: 64 << 10,
	Unbound: 7 * 24 * time.Hour, Unnamed: 24 * time.Hour, NameRunes: 200,
}

func or[T comparable](v, d T) T {
	var zero T
	if v == zero {
		return d
	}
	return v
}

func (l Limits) shipped() Limits {
	s := Shipped
	return Limits{Member: or(l.Member, s.Member), Photo: or(l.Photo, s.Photo), Large: or(l.Large, s.Large), Photos: or(l.Photos, s.Photos),
		Waiting: or(l.Waiting, s.Waiting), Pixels: or(l.Pixels, s.Pixels), AtOnce: or(l.AtOnce, s.AtOnce), Each: or(l.Each, s.Each),
		Readers: or(l.Readers, s.Readers), Stall: or(l.Stall, s.Stall), Pace: or(l.Pace, s.Pace), Unbound: or(l.Unbound, s.Unbound),
		Unnamed: or(l.Unnamed, s.Unnamed), NameRunes: or(l.NameRunes, s.NameRunes)}
}

// The refusals that a door answers with a status of their own, by Reason.
const (
	TooLarge  = "FILE_TOO_LARGE" // 413
	WrongKind = "FILE_KIND"      // 415
	Cut       = "FILE_CUT"       // 400: fewer bytes came than were promised
	Slow      = "FILE_SLOW"      // 408
	Offset    = "UPLOAD_OFFSET"  // 409
	WrongSum  = "FILE_DIGEST"    // 422
	NoRoom    = "FILE_QUOTA"     // 413
)

func refuse(reason, zh, en string) *fault.Error {
	return &fault.Error{Code: fault.BadUserInput, Reason: reason, Path: []string{"file"}, Zh: zh, En: en}
}
