package present

// part is a run of equal pieces, or of pieces that others took the place of.
type part struct {
	same     bool
	was, now []string
}

// maxNesting bounds how often compare looks again between pieces that both sides have once.
const maxNesting = 24

// compare finds what two lists have in common: what they begin and end with, and between these what
// each has exactly once (the patience algorithm). It is linear but for the depth, which is bounded.
func compare(was, now []string, depth int) (parts []part) {
	head := 0
	for head < len(was) && head < len(now) && was[head] == now[head] {
		head++
	}
	tail := 0
	for tail < len(was)-head && tail < len(now)-head && was[len(was)-1-tail] == now[len(now)-1-tail] {
		tail++
	}
	if head > 0 {
		parts = append(parts, part{true, was[:head], now[:head]})
	}
	a, b := was[head:len(was)-tail], now[head:len(now)-tail]
	anchors := common(a, b)
	if len(a) > 0 && len(b) > 0 && len(anchors) > 0 && depth < maxNesting {
		fromA, fromB := 0, 0
		for _, at := range anchors {
			if at[0] > fromA || at[1] > fromB {
				parts = append(parts, compare(a[fromA:at[0]], b[fromB:at[1]], depth+1)...)
			}
			parts = append(parts, part{true, a[at[0] : at[0]+1], b[at[1] : at[1]+1]})
			fromA, fromB = at[0]+1, at[1]+1
		}
		parts = append(parts, compare(a[fromA:], b[fromB:], depth+1)...)
	} else if len(a) > 0 || len(b) > 0 {
		parts = append(parts, part{false, a, b})
	}
	if tail > 0 {
		parts = append(parts, part{true, was[len(was)-tail:], now[len(now)-tail:]})
	}
	return parts
}

// common returns the places of the longest rising series of pieces that both lists have once.
func common(a, b []string) [][2]int {
	type seen struct{ inA, inB, a, b int }
	all := map[string]*seen{}
	for i, s := range a {
		if all[s] == nil {
			all[s] = &seen{}
		}
		all[s].inA, all[s].a = all[s].inA+1, i
	}
	for i, s := range b {
		if e := all[s]; e != nil {
			e.inB, e.b = e.inB+1, i
		}
	}
	type step struct {
		at       [2]int
		previous *step
	}
	var piles []*step
	for i, s := range a {
		e := all[s]
		if e.inA != 1 || e.inB != 1 {
			continue
		}
		low, high := 0, len(piles)
		for low < high {
			if middle := (low + high) / 2; piles[middle].at[1] < e.b {
				low = middle + 1
			} else {
				high = middle
			}
		}
		next := &step{at: [2]int{i, e.b}}
		if low > 0 {
			next.previous = piles[low-1]
		}
		piles = append(piles[:low], append([]*step{next}, piles[min(low+1, len(piles)):]...)...)
	}
	if len(piles) == 0 {
		return nil
	}
	found := make([][2]int, len(piles))
	for s, i := piles[len(piles)-1], len(piles)-1; s != nil; s, i = s.previous, i-1 {
		found[i] = s.at
	}
	return found
}
