// Package calendar knows which days are working days in mainland China and at
// this university, which week of the term a day is in, and when the people
// behind a kind of seat are expected to answer.
//
// Three layers say what a day is, the upper one wins: the university's own days,
// the State Council's yearly notices (holidays and make-up working days 调休),
// the weekday. Notices of 2024 to 2026 are embedded (data set holiday-cn, MIT
// licence); later ones are imported (StoreNotice) and may replace an embedded
// one. The year of a notice is its own: it may set days of the December before.
// What lies beyond the last notice or the last told term is provisional.
//
// A working day and a business hour are two things. A working day is one on
// which offices work, for everybody; it ends when the seat's hours of that day
// end. Business hours are the seat's own and may lie on a weekend.
//
// Time runs at a pace, by kind of seat: in the weeks of examinations a student's
// hour counts half, so a deadline is twice as far; a teacher's counts in full.
// Between two told terms, in the break, nobody's deadline runs, but for a day
// that the university declared a day of work. Statutory working days
// (AddWorkingDays, WorkingDays) know neither pace nor break.
package calendar
