//go:build linux

package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// TestMain lets the test binary be started again as the owner of a lab that is then killed.
func TestMain(m *testing.M) {
	if name := os.Getenv("BELFRY_LAB_OWNER"); name != "" {
		os.Exit(ownLab(name))
	}
	os.Exit(m.Run())
}

func requireRoot(t *testing.T) {
	t.Helper()
	if err := Preflight(); err != nil {
		t.Fatal(err)
	}
}

// labName is unlike that of a lab that a person runs on the machine, or of another run of the tests.
func labName(suffix string) string { return fmt.Sprintf("t%d%s", os.Getpid()%1_000_000, suffix) }

func startLab(t *testing.T, o Options) *Cluster {
	t.Helper()
	requireRoot(t)
	o.StateDir, o.Log = filepath.Join(t.TempDir(), "state"), t.Output()
	c, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Down(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return c
}

func kubectl(t *testing.T, c *Cluster, stdin string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), c.Binaries().Path("kubectl"), args...)
	cmd.Env, cmd.Stdin = c.Env(), strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("kubectl %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// eventually waits for a condition, for as long as a busy machine may need.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if poll(ctx, 50*time.Millisecond, func() (bool, error) { return done(), nil }) != nil {
		t.Fatalf("%s: not within a minute", what)
	}
}

const webPods = `
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: web
        image: localhost/web:1
        imagePullPolicy: IfNotPresent
        env:
        - {name: UDP, value: "9000"}
        - {name: ECHO, value: "7000"}
        - {name: NODE_NAME, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
        readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: NodePort
  ipFamilyPolicy: RequireDualStack
  selector: {app: web}
  ports:
  - {name: http, port: 80, targetPort: 8080, nodePort: 30080}
  - {name: udp, protocol: UDP, port: 9000, nodePort: 30090}
  - {name: echo, port: 7000, nodePort: 30070}
`

func TestLab(t *testing.T) {
	c := startLab(t, Options{Name: labName("a"), Nodes: 3, Clients: 2, Routers: 2})
	tar, err := BuildWebImage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.LoadImage(t.Context(), tar); err != nil {
		t.Fatal(err)
	}
	kubectl(t, c, webPods, "apply", "-f", "-")
	kubectl(t, c, "", "rollout", "status", "daemonset/web", "--timeout=60s")

	t.Run("kinds of kube-proxy", func(t *testing.T) { testProxyModes(t, c) })
	t.Run("services answer clients", func(t *testing.T) { testServices(t, c) })
	t.Run("routers", func(t *testing.T) { testRouters(t, c) })
	t.Run("cable", func(t *testing.T) { testCable(t, c) })
	t.Run("power cut", func(t *testing.T) { testPowerCut(t, c) })
	t.Run("shutdown", func(t *testing.T) { testShutdown(t, c) })
	t.Run("opened by another process", func(t *testing.T) { testOpen(t, c) })
	t.Run("audit log", func(t *testing.T) { testAudit(t, c) })
	t.Run("a second lab", func(t *testing.T) { testSecondLab(t, c) })
}

func testProxyModes(t *testing.T, c *Cluster) {
	for n := 1; n <= 3; n++ {
		rules, err := c.Node(n).Exec(t.Context(), "nft", "list", "ruleset")
		if err != nil {
			t.Fatal(err)
		}
		nftables := strings.Contains(string(rules), "table ip kube-proxy")
		if nftables == (n == 2) {
			t.Errorf("node %d: kube-proxy in nftables mode is %v", n, nftables)
		}
	}
}

// testServices asks every node in both families and all protocols, from a client that is no part of the cluster.
func testServices(t *testing.T, c *Cluster) {
	for _, node := range c.Nodes() {
		for _, addr := range []netip.Addr{node.V4(), node.V6()} {
			port := func(p uint16) string { return netip.AddrPortFrom(addr, p).String() }
			eventually(t, "HTTP at "+port(30080), func() bool {
				body, err := c.Client(2).Curl(t.Context(), "http://"+port(30080))
				return err == nil && strings.HasPrefix(body, "pod=web-") && strings.Contains(body, " node=n")
			})
			if got := converse(t, c.Client(1), "udp", port(30090), "hello"); !strings.HasPrefix(got, "pod=web-") {
				t.Errorf("UDP at %s: %q", port(30090), got)
			}
			if got := converse(t, c.Client(1), "tcp", port(30070), "hello"); got != "hello" {
				t.Errorf("TCP echo at %s: %q", port(30070), got)
			}
		}
	}
}

func converse(t *testing.T, from *Host, network, addr, say string) string {
	t.Helper()
	conn, err := from.Dial(t.Context(), network, addr)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := conn.Write([]byte(say)); err != nil {
		t.Error(err)
	}
	buf := make([]byte, 1500)
	n, err := conn.Read(buf)
	if err != nil {
		t.Error(err)
	}
	return string(buf[:n])
}

func testCable(t *testing.T, c *Cluster) {
	kubelet := netip.AddrPortFrom(c.Node(3).V6(), 10250).String()
	if err := c.CutLink(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	silent(t, c.Client(1), kubelet)
	if !c.Running(3) {
		t.Error("node 3 went off with its cable")
	}
	if err := c.RestoreLink(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	eventually(t, "node 3 is back on the LAN", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		conn, err := c.Client(1).Dial(ctx, "tcp", kubelet)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

// testPowerCut watches the node's end of the cable, the bridge's, and all other hosts on the LAN, while everybody tries to get a
// word out of the dead node, and somebody inside the namespace that is left tries to send.
func testPowerCut(t *testing.T, c *Cluster) {
	node := c.Node(1)
	mac, err := node.MAC()
	if err != nil {
		t.Fatal(err)
	}
	eth, port := ifindex(t, node, uplink), ifindex(t, c.LAN(), portName("n1"))
	leaving := startCapture(t, node, func(f frame) bool { return f.ifindex == eth && f.kind == unix.PACKET_OUTGOING })
	arriving := startCapture(t, c.LAN(), func(f frame) bool {
		return f.kind != unix.PACKET_OUTGOING && f.ifindex == port || f.src.String() == mac.String()
	})
	podOnNode := strings.TrimSpace(kubectl(t, c, "", "get", "pods", "--field-selector=spec.nodeName=n1",
		"-o=jsonpath={.items[0].status.podIP}"))
	if _, err := c.Client(1).Curl(t.Context(), fmt.Sprintf("http://%s:30080", node.V4())); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the captures see a live node", func() bool { return leaving.count.Load() > 0 && arriving.count.Load() > 0 })
	boot := kubectl(t, c, "", "get", "node", "n1", "-o=jsonpath={.status.nodeInfo.bootID}")

	if err := c.KillNode(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	left, arrived := leaving.drained(t), arriving.drained(t)
	for _, target := range []netip.AddrPort{
		netip.AddrPortFrom(node.V4(), 10250), netip.AddrPortFrom(node.V6(), 10250),
		netip.AddrPortFrom(node.V4(), 30080), netip.AddrPortFrom(node.V6(), 30080),
	} {
		silent(t, c.Client(2), target.String()) // has no neighbour entry yet: asks by ARP and NDP
	}
	silent(t, c.Node(2), net.JoinHostPort(podOnNode, "8080"))
	silent(t, node, net.JoinHostPort(c.Client(1).V4().String(), "9"))
	silent(t, node, net.JoinHostPort(c.Client(1).V6().String(), "9"))
	if n := leaving.drained(t) - left; n != 0 {
		t.Errorf("%d frames left the dead node's interface", n)
	}
	if n := arriving.drained(t) - arrived; n != 0 {
		t.Errorf("%d frames of the dead node reached the LAN", n)
	}
	testDeadNode(t, c, node)

	if err := c.StartNode(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if now := kubectl(t, c, "", "get", "node", "n1", "-o=jsonpath={.status.nodeInfo.bootID}"); now == boot {
		t.Error("the node came back with the boot id that it had")
	}
	eventually(t, "the node speaks again", func() bool { return leaving.count.Load() > left && arriving.count.Load() > arrived })
	eventually(t, "the node serves again", func() bool {
		_, err := c.Client(1).Curl(t.Context(), fmt.Sprintf("http://%s", netip.AddrPortFrom(node.V6(), 30080)))
		return err == nil
	})
}

// testDeadNode looks for what only a live node has.
func testDeadNode(t *testing.T, c *Cluster, node *Host) {
	if c.Running(1) {
		t.Error("the node counts as running")
	}
	if err := c.KillNode(t.Context(), 1); err == nil {
		t.Error("a dead node could be killed again")
	}
	rules, err := node.Exec(t.Context(), "nft", "list", "ruleset")
	if err != nil || strings.TrimSpace(string(rules)) != "" {
		t.Errorf("packet filter rules are left: %v %s", err, rules)
	}
	var st unix.Stat_t
	if err := unix.Stat(node.NetNS(), &st); err != nil {
		t.Fatal(err)
	}
	if left := residents(map[uint64]bool{st.Ino: true}); len(left) > 0 {
		t.Errorf("processes are left: %v", left)
	}
	if left := cgroupsOf(c.rec.cgroup(1)); len(left) > 0 {
		t.Errorf("cgroups are left: %v", left)
	}
}

func testShutdown(t *testing.T, c *Cluster) {
	told := filepath.Join(c.StateDir(), "told")
	polite, err := c.CommandInside(t.Context(), 3, "sh", "-c",
		`trap 'echo told > /run/lab/state/told; exit' TERM; echo listening; while :; do sleep 0.1; done`)
	if err != nil {
		t.Fatal(err)
	}
	out, err := polite.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := polite.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if err := c.StopNode(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	_ = polite.Wait()
	if !exists(told) {
		t.Error("a process on the node was not told to end")
	}
	if c.Running(3) {
		t.Error("the node is still on")
	}
	// An image that comes while a node is off is there when it is on again.
	busy, err := BuildBinary(t.Context(), "./e2e/cluster/images/pause")
	if err != nil {
		t.Fatal(err)
	}
	tar, err := BuildImage(ImageSpec{Name: "localhost/late:1", Files: map[string]string{"/bin/late": busy}, Entrypoint: []string{"/bin/late"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.LoadImage(t.Context(), tar); err != nil {
		t.Fatal(err)
	}
	if err := c.StartNode(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= 3; n++ {
		images, err := c.ExecInside(t.Context(), n, "ctr", "-n", "k8s.io", "images", "list", "-q")
		if err != nil || !strings.Contains(string(images), "localhost/late:1") {
			t.Errorf("node %d has not the image: %v %s", n, err, images)
		}
	}
}

func testOpen(t *testing.T, c *Cluster) {
	again, err := Open(c.Name())
	if err != nil {
		t.Fatal(err)
	}
	if again.Kubeconfig() != c.Kubeconfig() || again.Node(2).V4() != c.Node(2).V4() {
		t.Error("an opened lab differs from the one that was started")
	}
	if names, err := List(); err != nil || !strings.Contains(" "+strings.Join(names, " ")+" ", " "+c.Name()+" ") {
		t.Errorf("the lab is not listed: %v %v", names, err)
	}
	if _, err := Start(t.Context(), Options{Name: c.Name(), StateDir: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "runs already") {
		t.Errorf("a second lab of the name: %v", err)
	}
	if _, err := Open(labName("none")); !errors.Is(err, ErrNotRunning) {
		t.Errorf("opening a lab that is none: %v", err)
	}
}

func testAudit(t *testing.T, c *Cluster) {
	kubectl(t, c, "", "create", "configmap", "audited")
	kubectl(t, c, "", "get", "configmap", "audited")
	verbs := map[string]int{}
	eventually(t, "the write is in the audit log", func() bool {
		clear(verbs)
		data, err := os.ReadFile(c.AuditLog())
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			var event struct {
				Verb      string
				ObjectRef struct{ Resource, Name string }
			}
			if json.Unmarshal([]byte(line), &event) == nil && event.ObjectRef.Name == "audited" {
				verbs[event.Verb]++
			}
		}
		return verbs["create"] == 1
	})
	if len(verbs) != 1 {
		t.Errorf("verbs in the audit log: %v, want only the write", verbs)
	}
}

// testSecondLab brings another lab up beside the first, and down again while the first goes on.
func testSecondLab(t *testing.T, first *Cluster) {
	second := startLab(t, Options{Name: labName("b"), Nodes: 1})
	if second.LAN4() == first.LAN4() || second.LAN6() == first.LAN6() {
		t.Errorf("both labs have the LAN %s, %s", first.LAN4(), first.LAN6())
	}
	if got := strings.Fields(kubectl(t, second, "", "get", "nodes", "-o=name")); len(got) != 1 {
		t.Errorf("the second lab's nodes: %v", got)
	}
	stray := second.Client(1).Command(t.Context(), "sleep", "1000")
	if err := stray.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- stray.Wait() }()

	if err := second.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("a process that was left on a client ended by itself")
	}
	expectNothingLeft(t, second)
	if got := strings.Fields(kubectl(t, first, "", "get", "nodes", "-o=name")); len(got) != 3 {
		t.Errorf("the first lab's nodes, afterwards: %v", got)
	}
	if err := second.Down(t.Context()); err != nil {
		t.Errorf("down once more: %v", err)
	}
}

// expectNothingLeft looks everywhere that a lab leaves something.
func expectNothingLeft(t *testing.T, c *Cluster) {
	t.Helper()
	prefix := c.rec.plan().prefix()
	if left, _ := filepath.Glob(filepath.Join(netnsDir, prefix+"-*")); len(left) > 0 {
		t.Errorf("network namespaces are left: %v", left)
	}
	if _, err := netlink.LinkByName(prefix); err == nil {
		t.Errorf("the link %s is left", prefix)
	}
	if left := cgroupsOf("/" + prefix); len(left) > 0 {
		t.Errorf("cgroups are left: %v", left)
	}
	if exists(c.StateDir()) {
		t.Errorf("the state directory %s is left", c.StateDir())
	}
	mounts, err := filepath.Glob("/proc/[0-9]*/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(mounts, "/proc/self/mountinfo") {
		if text, _ := os.ReadFile(file); strings.Contains(string(text), prefix+"-") || strings.Contains(string(text), c.StateDir()) {
			t.Errorf("mounts are left in %s", file)
		}
	}
	commands, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range commands {
		if text, _ := os.ReadFile(file); strings.Contains(string(text), c.StateDir()) || strings.Contains(string(text), prefix+"-") {
			t.Errorf("a process is left: %s", strings.ReplaceAll(string(text), "\x00", " "))
		}
	}
}

func cgroupsOf(path string) (left []string) {
	for _, h := range hierarchies() {
		if dir := filepath.Join(h, path); exists(dir) {
			left = append(left, dir)
		}
	}
	return left
}

// ownLab is the life of a process that starts a lab and is killed: it says that the lab is up, and waits.
func ownLab(name string) int {
	c, err := Start(context.Background(), Options{Name: name, Nodes: 1, StateDir: os.Getenv("BELFRY_LAB_STATE"), Log: os.Stderr})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println(c.Name())
	select {}
}

// TestOwnerKilled kills the owner of a lab without warning. Its processes end with it, and the next lab of the name removes the rest.
func TestOwnerKilled(t *testing.T) {
	requireRoot(t)
	name, state := labName("c"), filepath.Join(t.TempDir(), "state")
	owner := exec.Command(os.Args[0])
	owner.Env = append(os.Environ(), "BELFRY_LAB_OWNER="+name, "BELFRY_LAB_STATE="+state)
	out, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	owner.Stderr = t.Output()
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	var said string
	if _, err := fmt.Fscanln(out, &said); err != nil || said != name {
		t.Fatalf("the owner said %q: %v", said, err)
	}
	rec, err := readRecord(name)
	if err != nil {
		t.Fatal(err)
	}
	owner.Process.Kill()
	_ = owner.Wait()
	for what, p := range rec.Processes {
		eventually(t, what+" ends with the owner", func() bool { return !p.alive() })
	}
	if _, err := Open(name); !errors.Is(err, ErrNotRunning) {
		t.Errorf("opening a lab whose owner is gone: %v", err)
	}
	if left := cgroupsOf("/bf-" + name); len(left) == 0 {
		t.Error("the test proves nothing: the killed owner left nothing behind")
	}
	c := startLab(t, Options{Name: name, Nodes: 1})
	if exists(state) {
		t.Errorf("the dead lab's state directory is left")
	}
	if err := c.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	expectNothingLeft(t, c)
}
