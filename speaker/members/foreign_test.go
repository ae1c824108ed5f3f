package members

import (
	"io"
	"testing"

	"github.com/hashicorp/memberlist"
)

// foreigner is a program in the group, with the key, that speaks otherwise.
type foreigner struct{ garbage []byte }

func (f foreigner) NodeMeta(int) []byte             { return f.garbage }
func (f foreigner) NotifyMsg([]byte)                {}
func (f foreigner) GetBroadcasts(_, _ int) [][]byte { return nil }
func (f foreigner) LocalState(bool) []byte          { return f.garbage }
func (f foreigner) MergeRemoteState([]byte, bool)   {}

func TestForeignMember(t *testing.T) {
	c := newCluster(t, nil)
	ms := c.started(2)
	ks, err := deriveKeys(secret)
	if err != nil {
		t.Fatal(err)
	}
	conf := memberlist.DefaultLocalConfig()
	conf.Name, conf.BindAddr, conf.BindPort = "foreigner", c.address(9).Addr().String(), DefaultPort
	conf.AdvertisePort = DefaultPort
	conf.SecretKey, conf.LogOutput, conf.Delegate = ks[0], io.Discard, foreigner{[]byte("S\xff\xff\xff\xff\xff")}
	list, err := memberlist.Create(conf)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = list.Shutdown() }()
	if _, err := list.Join([]string{c.address(0).String()}); err != nil {
		t.Fatal(err)
	}
	c.agree(3)
	c.eventually("the foreigner", func(m *member) bool {
		o, ok := m.sees("foreigner")
		return ok && o.State == Starting && o.Version == "" && o.Facts == nil
	})

	// Lies about the facts of n01 with a version beyond all others, and noise.
	lie := []byte("lie")
	v := version{incarnation: 1 << 63, sequence: 9}
	for _, msg := range [][]byte{
		whole("n01", newStamp(v, lie), lie).encode(kindPiece), []byte("?"), {}, encodeAsk("nobody"), {kindPiece}, {kindAsk},
	} {
		for _, n := range list.Members() {
			if n.Name == "n00" {
				_ = list.SendReliable(n, msg)
			}
		}
	}
	eventually(t, "malformed messages counted", func() bool {
		return value(t, ms[0].metrics.dropped.WithLabelValues(droppedMalformed)) >= 3
	})
	if err := ms[1].Publish([]byte("truth")); err != nil {
		t.Fatal(err)
	}
	c.eventually("the truth", func(m *member) bool { return m.hasFacts("n01", []byte("truth")) })
}
