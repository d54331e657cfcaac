// Package training is the desk of courses: an approved request becomes
// sessions, and each session five tasks with due times counted back from its
// start: PREPARE, TEACH, ASSIST, CHECK_IN and WRAP_UP.
//
// Tasks are given out like repairs, by skill, free hours at the time of the
// session, load and fairness (package dispatch). Whoever is asked has 24 hours
// to accept, decline or propose a colleague. What nobody accepted after 24
// hours is offered to more seats, and 48 hours before the start the head of the
// department is warned of a session without a teacher.
package training
