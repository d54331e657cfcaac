package store

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"

	"kelian/internal/fault"

	"github.com/uptrace/bun/driver/pgdriver"
	"modernc.org/sqlite"
)

// SQLite result codes (sqlite.org/rescode.html).
const (
	sqliteBusy       = 5
	sqliteConstraint = 19
	sqliteFull       = 13
	sqliteIOErr      = 10
	sqlitePrimaryKey = 1555
	sqliteUnique     = 2067
)

// IsUnique says whether err is the refusal of a unique or primary key of the
// named table; "" means any table.
func IsUnique(err error, table string) bool {
	var pg pgdriver.Error
	if errors.As(err, &pg) {
		return (pg.Field('C') == "23505" || pg.Field('C') == "23P01") && (table == "" || pg.Field('t') == table)
	}
	var lite *sqlite.Error
	if errors.As(err, &lite) && (lite.Code() == sqliteUnique || lite.Code() == sqlitePrimaryKey) {
		return table == "" || strings.Contains(lite.Error(), "failed: "+table+".") || strings.Contains(lite.Error(), "'"+table+"_")
	}
	return false
}

// IsConstraint says whether a constraint or a refusing trigger of the schema
// stopped the statement.
func IsConstraint(err error) bool {
	var pg pgdriver.Error
	if errors.As(err, &pg) {
		return strings.HasPrefix(pg.Field('C'), "23") || pg.Field('C') == "P0001"
	}
	var lite *sqlite.Error
	return errors.As(err, &lite) && lite.Code()&0xff == sqliteConstraint
}

// NoRows says whether a read found nothing.
func NoRows(err error) bool { return errors.Is(err, sql.ErrNoRows) }

// lost says that the connection to the server ended, so the transaction on it
// is gone; whether a COMMIT under way took effect is unknown.
func lost(err error) bool {
	if err == nil {
		return false
	}
	var pg pgdriver.Error
	if errors.As(err, &pg) {
		c := pg.Field('C')
		return strings.HasPrefix(c, "57P") || strings.HasPrefix(c, "08") || c == "25P03"
	}
	var ne net.Error
	return errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) || errors.Is(err, io.EOF) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.As(err, &ne)
}

// collided says that another transaction was in the way and that running the
// same one again may succeed (40001 serialization_failure, 40P01 deadlock).
func collided(err error) bool {
	var pg pgdriver.Error
	if errors.As(err, &pg) {
		return pg.Field('C') == "40001" || pg.Field('C') == "40P01"
	}
	var lite *sqlite.Error
	return errors.As(err, &lite) && lite.Code()&0xff == sqliteBusy
}

// Busy maps the faults of a database that is away, locked or full to
// UNAVAILABLE, and leaves every other error as it is.
func Busy(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := fault.As(err); ok {
		return err
	}
	var pg pgdriver.Error
	if errors.As(err, &pg) {
		switch c := pg.Field('C'); {
		case lost(err), collided(err), c == "57014", c == "55P03", c == "53300", strings.HasPrefix(c, "53"):
			return fault.Busy(err)
		}
		return err
	}
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		switch lite.Code() & 0xff {
		case sqliteBusy, sqliteFull, sqliteIOErr:
			return fault.Busy(err)
		}
		return err
	}
	if lost(err) {
		return fault.Busy(err)
	}
	return err
}
