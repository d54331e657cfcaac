// Package calendar knows which days are working days in mainland China and at
// this university, which week of the term a day is in, and how far a number of
// working days reaches. Public holidays and make-up working days (调休) are
// those of the State Council's yearly notices, embedded as data from the
// holiday-cn data set (MIT licence), as of August 2026; the year of a file is
// its notice's. 2027 had not been announced: a date in it is provisional.
package calendar
