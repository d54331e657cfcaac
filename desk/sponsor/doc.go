// Package sponsor is the desk of those who give: organisations and their
// contacts, pledges from the first lead to the thank-you, and the ledger of
// what was received and what it paid for.
//
// Every ledger row moves an amount of fen from one account to another, so the
// ledger balances by its shape and not by a check: there is no way to write one
// side of an entry. Accounts are sponsor:<organisation>, pledge:<pledge>,
// purchase:<purchase> and spent. Rows are never changed; a mistake is mended by
// a row that goes the other way.
//
// Only what the League's finance seat has confirmed as received can be spent,
// and never more of it than there is: the pledge's counter is raised by one
// conditional update under a CHECK.
package sponsor
