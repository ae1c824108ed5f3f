package spec

import (
	"cmp"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/labels"
)

// BGP is what users configured of BGP, valid and sorted by name.
type BGP struct {
	Peers          []Peer
	Advertisements []BGPAdvertisement
	Profiles       []BFDProfile

	// CommunityUsers and ProfileUsers are the names of the advertisements that use aliases of a Community, and of the peers
	// that name a BFDProfile, by the name of that object. Users that have a Problem are among them.
	CommunityUsers, ProfileUsers map[string][]string
}

func parseAllBGP(o Objects, pools map[string]labels.Set) (b BGP, problems []Problem) {
	b.CommunityUsers, b.ProfileUsers = map[string][]string{}, map[string][]string{}
	var more []Problem
	b.Profiles, problems = parseBFDProfiles(o.BFDProfiles)
	b.Peers, more = parsePeers(o.BGPPeers)
	problems = append(problems, more...)
	for _, p := range b.Peers {
		problems = append(problems, b.useProfile(p)...)
	}
	known, more := parseAliases(o.Communities)
	problems = append(problems, more...)
	peers := make(map[string]bool, len(o.BGPPeers))
	for i := range o.BGPPeers {
		peers[o.BGPPeers[i].Name] = !o.BGPPeers[i].Spec.Template
	}
	for i := range o.BGPAdvertisements {
		a, owners, problem := parseBGP(&o.BGPAdvertisements[i], known)
		for _, c := range owners {
			b.CommunityUsers[c] = append(b.CommunityUsers[c], o.BGPAdvertisements[i].Name)
		}
		if problem == nil {
			b.Advertisements = append(b.Advertisements, a)
			problem = a.unknownNames(pools, peers)
		}
		if problem != nil {
			problems = append(problems, *problem)
		}
	}
	for _, users := range b.CommunityUsers {
		slices.Sort(users)
	}
	problems = append(problems, b.differences(pools)...)
	slices.SortFunc(b.Advertisements, func(a, b BGPAdvertisement) int { return cmp.Compare(a.Name, b.Name) })
	return b, problems
}

// useProfile notes who uses a profile. A missing one is a hint: the session works without, unless it is to wait for BFD.
func (b *BGP) useProfile(p Peer) []Problem {
	name := p.session.BFDProfile
	if name == "" {
		return nil
	}
	b.ProfileUsers[name] = append(b.ProfileUsers[name], p.Name)
	if _, ok := b.Profile(name); ok {
		return nil
	}
	then := "the path to the router is not watched"
	if p.session.BFDStrict {
		then = "there is no session, which spec.bfdStrict makes wait for BFD"
	}
	return []Problem{*peerProblem(p.Name, ReasonUnknownProfile, fmt.Sprintf("spec.bfdProfile: there is no BFDProfile %s that can be used: %s", name, then))}
}

// Profile returns the profile of this name; false when there is none, or none that can be used.
func (b *BGP) Profile(name string) (BFDProfile, bool) {
	i, found := slices.BinarySearchFunc(b.Profiles, name, func(p BFDProfile, name string) int { return cmp.Compare(p.Name, name) })
	if !found {
		return BFDProfile{}, false
	}
	return b.Profiles[i], true
}
