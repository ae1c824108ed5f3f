package bfd

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/belfry-lb/belfry/speaker/bfd"
)

// TestBIRD is TestFRR with BIRD.
func TestBIRD(t *testing.T) {
	for _, w := range ways() {
		t.Run(w.name, func(t *testing.T) {
			node, host := w.hosts(t)
			router := startBIRD(t, host, birdOptions(birdTimers(w.interval, w.multiplier, ""))+w.birdPeer(node)+";")
			o, path := startOurs(t, node), w.path(host)
			o.watch(path, timers(w.interval, w.multiplier))
			detection := time.Duration(w.multiplier) * w.interval
			o.await(path, "coming up", func(s bfd.Status) bool { return up(s) && s.Interval == w.interval && s.Detection == detection })
			until(t, "BIRD's view", func() bool { return router.state() == "Up" })

			frozen := time.Now()
			if err := router.process.Signal(unix.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			s := o.await(path, "noticing", down)
			t.Logf("a frozen peer was noticed after %s, the detection time is %s; the news took %s", s.Since.Sub(frozen), detection, time.Since(s.Since))
			if s.Cause != bfd.CauseDetectionExpired || s.Silence != detection {
				t.Errorf("%+v", s)
			}
			if err := router.process.Signal(unix.SIGCONT); err != nil {
				t.Fatal(err)
			}
			o.await(path, "coming up again", up)
		})
	}
}

// TestBIRDAuthentication: each type with the right key, then with a wrong one.
func TestBIRDAuthentication(t *testing.T) {
	for name, kind := range map[string]bfd.AuthType{
		"simple": bfd.AuthSimple, "keyed md5": bfd.AuthMD5, "meticulous keyed md5": bfd.AuthMeticulousMD5,
		"keyed sha1": bfd.AuthSHA1, "meticulous keyed sha1": bfd.AuthMeticulousSHA1,
	} {
		t.Run(name, func(t *testing.T) {
			node, host := pair(t)
			options := func(secret string) string {
				return birdOptions(birdTimers(300*ms, 5, `authentication `+name+`; password "`+secret+`" { id 5; };`)) +
					"neighbor " + node4 + " local " + router4 + ";"
			}
			b := startBIRD(t, host, options("secret"))
			o, path := startOurs(t, node), bfd.Path{Peer: addr(router4)}
			set := steady()
			set.Auth = bfd.Auth{Type: kind, KeyID: 5, Secret: "secret"}
			o.watch(path, set)
			o.await(path, "coming up", func(s bfd.Status) bool { return up(s) && s.Detection == 1500*ms })
			until(t, "BIRD's view", func() bool { return b.state() == "Up" })
			lasts(t, time.Second, "being up", func() bool { return o.Running().Sessions[path].Downs == 0 })

			set.Auth.Secret = "Secret"
			o.watch(path, set)
			o.await(path, "a wrong secret", down)
			until(t, "BIRD's view", func() bool { return b.state() == "Down" })
			before := o.dropped("authentication")
			until(t, "dropped packets", func() bool { return o.dropped("authentication") > before+1 })
			if s := o.Running().Sessions[path]; s.State != bfd.Down {
				t.Errorf("%+v", s)
			}
			set.Auth.Secret = "secret"
			o.watch(path, set)
			o.await(path, "the right secret", up)
			set.Auth.KeyID = 6
			o.watch(path, set)
			o.await(path, "a wrong key", down)
			set.Auth = bfd.Auth{}
			o.watch(path, set)
			until(t, "BIRD's view", func() bool { return b.state() == "Down" })
			lasts(t, 1200*ms, "being down without authentication", func() bool { return !up(o.Running().Sessions[path]) })
		})
	}
}

func TestBIRDTimersChangeWhileUp(t *testing.T) {
	node, host := pair(t)
	config := func(interval time.Duration, multiplier uint8) string {
		return birdOptions(birdTimers(interval, multiplier, "")) + "neighbor " + node4 + " local " + router4 + ";"
	}
	b := startBIRD(t, host, config(300*ms, 5))
	o, path := startOurs(t, node), bfd.Path{Peer: addr(router4)}
	o.watch(path, steady())
	o.await(path, "coming up", func(s bfd.Status) bool { return up(s) && s.Detection == 1500*ms })
	for _, set := range []bfd.Settings{
		{MinTx: 600 * ms, MinRx: 400 * ms, Multiplier: 4}, {MinTx: 350 * ms, MinRx: 700 * ms, Multiplier: 6}, steady(),
	} {
		o.watch(path, set)
		o.await(path, "new timers", func(s bfd.Status) bool { return s.Interval == set.MinTx && s.Detection == 5*set.MinRx })
		lasts(t, 500*ms, "being up", func() bool { return up(o.Running().Sessions[path]) })
	}
	for _, theirs := range []time.Duration{500 * ms, 320 * ms} {
		b.configure(config(theirs, 6))
		o.await(path, "new timers", func(s bfd.Status) bool { return s.Interval == theirs && s.Detection == 6*theirs })
		lasts(t, 500*ms, "being up", func() bool { return up(o.Running().Sessions[path]) })
	}
	if s := o.Running().Sessions[path]; s.Downs != 0 || b.state() != "Up" {
		t.Errorf("ours: %+v, BIRD: %s", s, b.state())
	}
}

// TestBIRDLeaving: BIRD takes its session away with AdminDown, and hears of ours.
func TestBIRDLeaving(t *testing.T) {
	node, host := pair(t)
	options := birdOptions(birdTimers(50*ms, 3, ""))
	neighbour := "neighbor " + node4 + " local " + router4 + ";"
	b := startBIRD(t, host, options+neighbour)
	o, path := startOurs(t, node), bfd.Path{Peer: addr(router4)}
	o.watch(path, timers(50*ms, 3))
	o.await(path, "coming up", up)
	if out, err := b.birdc("disable", "bfd1"); err != nil {
		t.Fatal(out, err)
	}
	s := o.await(path, "BIRD's farewell", down)
	t.Logf("BIRD's farewell: %s", s.Why())
	if out, err := b.birdc("enable", "bfd1"); err != nil {
		t.Fatal(out, err)
	}
	o.await(path, "coming up again", up)
	until(t, "BIRD's view", func() bool { return b.state() == "Up" })
	o.apply(nil)
	until(t, "BIRD's view", func() bool { return b.state() == "Down" })
}
