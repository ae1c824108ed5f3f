// Package archtest holds the house together: it reads every Go file of the module and says which one imports, or uses,
// what its floor does not allow.
//
//	5  e2e, charts, internal/archtest                       look at everything, nobody imports them
//	   internal/{nettest, speakertest}                      help the tests of all floors
//	4  cmd                                                  the only os.Exit
//	3  controllers, speaker, internal/kube, internal/cli    know Kubernetes
//	2  speaker/{l2, bgp, bfd, members, liveness}           know one wire each, and nothing of ours or of Kubernetes
//	1  internal/{spec, alloc, elect, plan, explain, migrate}   pure: values in, values and reasons out
//	0  api                                                  types and names
//
// Imports go down, or sideways where the table in house.go says so. A package that the table does not know is a finding,
// too: whoever adds one decides where it belongs.
package archtest
