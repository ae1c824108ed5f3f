package migrate

import "slices"

// Back returns the step that brings a change-over nearer to where it began; false when it is there. ours tells whether
// objects are left that the change-over made. Addresses stay where they are: Services keep them whoever assigns.
func Back(s State, ours bool) (Step, bool) {
	order := slices.Clone(s.Nodes)
	slices.SortStableFunc(order, rank)
	for _, n := range order {
		step, ok := giveNode(n, s.Retired)
		if ok && step.Do == ReturnNode && s.Retired && len(s.Stray) > 0 {
			return Step{AwaitRelease, s.Stray, "waiting until Belfry's sessions on " + some(s.Stray) + " are closed"}, true
		}
		if ok {
			return step, true
		}
	}
	switch {
	case s.Patched:
		return Step{Do: RestoreDaemon, Text: "the old speaker's DaemonSet is as it was; its own rolling update follows"}, true
	case s.Rolling:
		return Step{Do: AwaitRollout, Text: "waiting until the old speaker's DaemonSet has rolled out"}, true
	case ours:
		return Step{Do: DeleteObjects, Text: "deleting Belfry's advertisements, peers and pools; Services keep their addresses"}, true
	case !s.Controller:
		return Step{Do: StartControl, Text: "starting the old controller"}, true
	}
	return unlabel(s)
}

func giveNode(n Node, retired bool) (Step, bool) {
	at := []string{n.Name}
	switch {
	case n.Selected && !n.Running:
		return Step{ReleaseNode, at, n.Name + ": Belfry takes leave of its routers"}, true
	case n.Talking && !n.Running:
		return Step{AwaitRelease, at, n.Name + ": waiting until Belfry's sessions are closed"}, true
	case n.Left || retired && !n.Running:
		return Step{ReturnNode, at, n.Name + ": the old speaker may come back"}, true
	case !n.Running:
		return Step{AwaitReturn, at, n.Name + ": waiting for the old speaker"}, true
	case n.Settling:
		return Step{AwaitReturn, at, n.Name + ": waiting until the old speaker has told its routers"}, true
	}
	return Step{}, false
}
