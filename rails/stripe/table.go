package stripe

import (
	"slices"
	"strings"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

// listing is what the table says of one operation; gen/classes.tsv, of which it is
// made, says what the texts mean.
type listing struct {
	name  string
	class spend.Class // what it is at worst
	test  bool        // exists with test keys only
	when  []condition // what a call must have to be of its class; nil: nothing
	known []string    // the parameters, without brackets, that Stripe describes, where class has conditions; nil: not known
	kind  spend.LegKind
	// amount, currency and payee tell where they stand.
	amount, currency, payee string
	lookup                  string // the GET that tells, "" if the call tells all there is to know
	object                  string // see spend.Intent.Object
}

// node is one segment of the paths of all operations.
type node struct {
	segment  string
	id       uint16 // the node below, {id} or {name}, that takes what is chosen; or 0
	from, to uint16 // the nodes below, sorted by segment
	// The operations that end here, counted from 1; 0 is none.
	get, post, put, delete uint16
}

// find returns the operation that a method and a path of a host name, nil for what
// is not listed, and the ids that stand in the path. Hosts of the API proper go by
// "api.stripe.com". A trailing slash, which Stripe ignored until 2019, is refused as
// Ambiguous, an id that is none of Stripe's as Malformed. A word that is listed is
// never taken for an id, and what looks like a word for none of Stripe's: it is
// rather an operation that this table does not know.
func find(host, method, path string) (*listing, [2]string, error) {
	var ids [2]string
	if strings.HasSuffix(path, "/") && path != "/" {
		return nil, ids, rails.Refusef(spend.Ambiguous, "", "the path %.80q ends in a slash, which servers read differently", path)
	}
	at, named, odd := pathTree[0].below(host), 0, false
	rest, more := strings.CutPrefix(path, "/")
	for more && at != nil {
		var segment string
		segment, rest, more = strings.Cut(rest, "/")
		if next := at.below(segment); next != nil || at.id == 0 {
			at = next
			continue
		}
		at = &pathTree[at.id]
		if at.segment == "{id}" && isLowerWord(segment) {
			return nil, ids, nil
		}
		if !isID(segment) && (at.segment == "{id}" || !isName(segment)) {
			odd = true
		}
		ids[named] = segment
		named++
	}
	if at == nil || at.operation(method) == 0 {
		return nil, ids, nil
	}
	if odd {
		return nil, ids, rails.Refusef(spend.Malformed, "", "an id in the path %.80q is none of Stripe's", path)
	}
	return &listings[at.operation(method)-1], ids, nil
}

// isLowerWord reports whether s is of lower-case letters and underscores only. All
// ids that Stripe draws have digits or capitals; what is too long for one is refused
// as such.
func isLowerWord(s string) bool {
	for i := range len(s) {
		if c := s[i]; c != '_' && (c < 'a' || c > 'z') {
			return false
		}
	}
	return s != "" && len(s) <= 255
}

// isName reports whether s could be an id that people chose, such as that of a
// coupon, as it stands in a path without any escape.
func isName(s string) bool {
	for i := range len(s) {
		if classes[s[i]]&isFree == 0 {
			return false
		}
	}
	return s != "" && len(s) <= 255
}

// below returns the node of a segment, or nil.
func (n *node) below(segment string) *node {
	from, to := n.from, n.to
	for from < to {
		middle := from + (to-from)/2
		switch found := &pathTree[middle]; {
		case found.segment == segment:
			return found
		case found.segment < segment:
			from = middle + 1
		default:
			to = middle
		}
	}
	return nil
}

func (n *node) operation(method string) uint16 {
	switch method {
	case "GET":
		return n.get
	case "POST":
		return n.post
	case "PUT":
		return n.put
	case "DELETE":
		return n.delete
	}
	return 0
}

// listed returns the names of all operations, sorted, each once.
func listed() []string {
	names := make([]string, 0, len(listings))
	for i := range listings {
		names = append(names, listings[i].name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}
