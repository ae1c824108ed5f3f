package bgp

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/go-logr/logr"
	api "github.com/osrg/gobgp/v3/api"
	"github.com/osrg/gobgp/v3/pkg/log"
	"github.com/osrg/gobgp/v3/pkg/server"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

type message = proto.Message

// daemon is one GoBGP server with at most one neighbour, which is this process itself, on a loopback address.
//
// A server cannot be thrown away: its goroutine never ends. So it is kept, and used again.
type daemon struct {
	server *server.BgpServer
	// listen is where it accepts, neighbour the only address from which it does.
	listen    netip.AddrPort
	neighbour netip.Addr
	// key signs the way to it. Whoever else on this machine takes the neighbour's address gets nothing.
	key string

	// rib is what it has been given to announce.
	rib map[netip.Prefix]said
	// active: the neighbour is configured.
	active bool
}

// foreignASN is the ASN that GoBGP takes an external router to have. The true one is no concern of its: the OPENs are
// checked before they get there.
const (
	foreignASN      = 65534
	otherForeignASN = 65533
	serverASN       = 65535
)

// newDaemon starts the nth server. Its own ASN and router ID are never seen by anyone: each session brings those of its own.
//
// Starting writes variables that all servers share, always the same values: it is done for many at once, before the first
// of them has a route.
func newDaemon(ctx context.Context, n int, l logr.Logger) (*daemon, error) {
	host := func(last byte) netip.Addr { return netip.AddrFrom4([4]byte{127, byte(1 + n>>7), byte(n & 127), last}) }
	d := &daemon{
		server: server.NewBgpServer(server.LoggerOption(daemonLog{l})),
		listen: netip.AddrPortFrom(host(1), 0), neighbour: host(2), key: rand.Text(), rib: map[netip.Prefix]said{},
	}
	go d.server.Serve()
	var err error
	for range 5 { // another process may take the port first
		if err = d.start(ctx); err == nil {
			return d, nil
		}
	}
	return nil, fmt.Errorf("starting a BGP server on %s: %w", d.listen.Addr(), err)
}

func (d *daemon) start(ctx context.Context) error {
	port, err := freePort(ctx, d.listen.Addr())
	if err != nil {
		return err
	}
	d.listen = netip.AddrPortFrom(d.listen.Addr(), port)
	return d.server.StartBgp(ctx, &api.StartBgpRequest{Global: &api.Global{
		Asn: serverASN, RouterId: d.listen.Addr().String(), ListenPort: int32(port), ListenAddresses: []string{d.listen.Addr().String()},
	}})
}

// freePort finds a port that nobody listens on; asked for port 0, GoBGP would take 179.
func freePort(ctx context.Context, addr netip.Addr) (uint16, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp4", netip.AddrPortFrom(addr, 0).String())
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort().Port(), nil
}

// innerASN is the ASN that a session's router has in GoBGP's eyes.
func (s Session) innerASN() uint32 {
	switch {
	case s.internal():
		return s.LocalASN
	case s.LocalASN == foreignASN:
		return otherForeignASN
	}
	return foreignASN
}

// open makes the server ready for one session.
func (d *daemon) open(ctx context.Context, s Session) error {
	peer := &api.Peer{
		Conf: &api.PeerConf{
			NeighborAddress: d.neighbour.String(), PeerAsn: s.innerASN(), LocalAsn: s.LocalASN, AuthPassword: d.key,
		},
		Transport: &api.Transport{PassiveMode: true, LocalAddress: d.listen.Addr().String()},
		Timers: &api.Timers{Config: &api.TimersConfig{
			HoldTime: uint64(seconds(s.HoldTime)), KeepaliveInterval: uint64(max(seconds(s.KeepaliveTime), 1)),
		}},
		// Of graceful restart GoBGP does one thing only: it says End-of-RIB.
		GracefulRestart: &api.GracefulRestart{Enabled: s.GracefulRestart, RestartTime: uint32(seconds(s.RestartTime))},
	}
	for _, f := range s.Families.Each() {
		peer.AfiSafis = append(peer.AfiSafis, &api.AfiSafi{
			Config:            &api.AfiSafiConfig{Family: apiFamily(f), Enabled: true},
			MpGracefulRestart: &api.MpGracefulRestart{Config: &api.MpGracefulRestartConfig{Enabled: s.GracefulRestart}},
		})
	}
	if err := d.server.AddPeer(ctx, &api.AddPeerRequest{Peer: peer}); err != nil {
		return fmt.Errorf("adding a neighbour: %w", err)
	}
	d.active = true
	return nil
}

// took waits until the server has acted on the first messages of a session: the OPEN, and what came after it. When the
// connection ends while one is unread, the server leaves a goroutine behind.
func (d *daemon) took(messages int) {
	d.await(func(s api.PeerState_SessionState) bool {
		early := s == api.PeerState_ACTIVE || s == api.PeerState_OPENSENT
		return (messages == 0 || !early) && (messages < 2 || s != api.PeerState_OPENCONFIRM)
	})
}

// rest waits until the server has seen the end of a session. A neighbour that is deleted before leaves a goroutine behind, too.
func (d *daemon) rest() {
	d.await(func(s api.PeerState_SessionState) bool {
		return s != api.PeerState_OPENSENT && s != api.PeerState_OPENCONFIRM && s != api.PeerState_ESTABLISHED
	})
}

// await polls the state of the session, for no longer than tookTime.
func (d *daemon) await(ok func(api.PeerState_SessionState) bool) {
	tick := time.NewTicker(daemonPause)
	defer tick.Stop()
	for deadline := time.Now().Add(tookTime); !ok(d.state()) && time.Now().Before(deadline); <-tick.C {
	}
}

// tookTime is far more than a server needs for a message or an end.
const tookTime = time.Second

// state returns the state of the session.
func (d *daemon) state() (s api.PeerState_SessionState) {
	_ = d.server.ListPeer(context.Background(), &api.ListPeerRequest{Address: d.neighbour.String()}, func(p *api.Peer) {
		s = p.GetState().GetSessionState()
	}) // fails once the server is told to stop, which nobody does
	return s
}

// shutdown ends the session with an administrative shutdown and a text; close must follow.
func (d *daemon) shutdown(ctx context.Context, text string) error {
	return d.server.DisablePeer(ctx, &api.DisablePeerRequest{Address: d.neighbour.String(), Communication: text})
}

// close ends the session, if there is one.
func (d *daemon) close(ctx context.Context) error {
	if !d.active {
		return nil
	}
	d.active = false
	d.rest()
	return d.server.DeletePeer(ctx, &api.DeletePeerRequest{Address: d.neighbour.String()})
}

// sync makes the server announce exactly what is desired. What could not be changed stays in the rib as it was and
// is tried again by the next sync.
func (d *daemon) sync(ctx context.Context, desired map[netip.Prefix]said, s Session) error {
	var errs []error
	add, remove := differ(d.rib, desired)
	for _, p := range remove {
		path, err := withdrawal(p, d.rib[p].nextHop)
		if err == nil {
			err = d.server.DeletePath(ctx, &api.DeletePathRequest{Path: path})
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("withdrawing %s: %w", p, err))
			continue
		}
		delete(d.rib, p)
	}
	for _, p := range add {
		path, err := desired[p].path(p, s.LocalASN, s.internal())
		if err == nil {
			_, err = d.server.AddPath(ctx, &api.AddPathRequest{Path: path})
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("announcing %s: %w", p, err))
			continue
		}
		d.rib[p] = desired[p]
	}
	return errors.Join(errs...)
}

func pack(messages []message) ([]*anypb.Any, error) {
	all := make([]*anypb.Any, 0, len(messages))
	for _, m := range messages {
		a, err := anypb.New(m)
		if err != nil {
			return nil, err
		}
		all = append(all, a)
	}
	return all, nil
}

// daemonLog takes GoBGP's log. What a person must know is said by the peers in their own words; this is for debugging.
type daemonLog struct{ logr.Logger }

func (l daemonLog) say(level, msg string, f log.Fields) {
	l.V(2).Info("GoBGP", "reason", msg, "level", level, "fields", f)
}

func (l daemonLog) Panic(msg string, f log.Fields) { l.say("panic", msg, f) }
func (l daemonLog) Fatal(msg string, f log.Fields) { l.say("fatal", msg, f) }
func (l daemonLog) Error(msg string, f log.Fields) { l.say("error", msg, f) }
func (l daemonLog) Warn(msg string, f log.Fields)  { l.say("warn", msg, f) }
func (l daemonLog) Info(msg string, f log.Fields)  { l.say("info", msg, f) }
func (l daemonLog) Debug(msg string, f log.Fields) { l.say("debug", msg, f) }
func (daemonLog) SetLevel(log.LogLevel)            {}
func (daemonLog) GetLevel() log.LogLevel           { return log.DebugLevel }

var _ log.Logger = daemonLog{}
