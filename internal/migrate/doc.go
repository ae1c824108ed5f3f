// Package migrate turns the configuration of other load balancers into Belfry's.
//
//	objects and files of others ──From──▶ Result{ours, what changes meaning, what must be done by hand}
//	                                           └──Steps──▶ the order in which to change over
//
// It is pure: whoever calls it reads the objects and applies the result. Nothing is dropped in silence: what has no
// counterpart is a Note.
package migrate
