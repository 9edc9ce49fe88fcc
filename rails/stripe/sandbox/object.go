package sandbox

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// object is one of Stripe's resources as it is kept and shown.
type object interface {
	// refs returns the fields that expand[] may name.
	refs() map[string]*ref
	// clone returns a copy whose refs can be expanded without touching what is kept.
	clone() object
	// made returns when it was created, in Unix seconds.
	made() int64
}

// head is what every resource begins with.
type head struct {
	ID       string `json:"id"`
	Object   string `json:"object"`
	Created  int64  `json:"created"`
	Livemode bool   `json:"livemode"`
}

func (h *head) made() int64 { return h.Created }

// text is a string that is null when empty.
type text string

func (t text) MarshalJSON() ([]byte, error) {
	if t == "" {
		return []byte("null"), nil
	}
	return json.Marshal(string(t))
}

// ref is the identifier of another resource, null when empty, the resource itself
// when expanded.
type ref struct {
	id string
	to object
}

func (r ref) MarshalJSON() ([]byte, error) {
	if r.to != nil {
		return json.Marshal(r.to)
	}
	return text(r.id).MarshalJSON()
}

// page is a list of resources.
type page struct {
	Object  string   `json:"object"`
	Data    []object `json:"data"`
	HasMore bool     `json:"has_more"`
	URL     string   `json:"url"`
}

// metadata returns m with the changes that the call asks for: an empty value
// takes a key away.
func (c *call) metadata(m map[string]string) map[string]string {
	m = maps.Clone(m)
	if m == nil {
		m = map[string]string{}
	}
	for k, v := range c.p.flat {
		if name, ok := strings.CutPrefix(k, "metadata["); ok {
			name = strings.TrimSuffix(name, "]")
			if m[name] = v; v == "" {
				delete(m, name)
			}
		}
	}
	return m
}

// head makes the head of a new resource.
func (c *call) head(prefix, name string) head {
	return head{ID: c.s.newID(prefix), Object: name, Created: c.now, Livemode: c.scope.live}
}

// add keeps a new resource.
func (c *call) add(id string, o object) {
	c.a.objects[id] = o
	c.a.order = append(c.a.order, id)
}

// find returns the resource id if there is one of that type.
func find[T object](c *call, id string) (T, bool) {
	o, ok := c.a.objects[id].(T)
	return o, ok
}

// list answers a list call with the resources of one type that keep admits,
// newest first.
func list[T object](c *call, kind, url string, keep func(T) bool) (any, *Error) {
	limit, asked := c.p.integer("limit")
	if !asked {
		limit = 10
	} else if limit < 1 || limit > 100 {
		c.p.fail(badRequest("parameter_invalid_integer", "limit", "This value must be between 1 and 100."))
	}
	within := c.createdWithin()
	if c.p.err != nil {
		return nil, c.p.err
	}
	var ids []string
	for i := len(c.a.order) - 1; i >= 0; i-- {
		if o, ok := find[T](c, c.a.order[i]); ok && keep(o) && within(o.made()) {
			ids = append(ids, c.a.order[i])
		}
	}
	for _, bound := range []string{"starting_after", "ending_before"} {
		id, ok := c.p.flat[bound]
		if !ok {
			continue
		}
		at := slices.Index(ids, id)
		if at < 0 {
			return nil, noSuch(kind, bound, id)
		}
		if bound == "starting_after" {
			ids = ids[at+1:]
		} else {
			ids = ids[max(0, at-int(limit)):at]
		}
	}
	p := &page{Object: "list", Data: []object{}, HasMore: int64(len(ids)) > limit, URL: url}
	for _, id := range ids[:min(int64(len(ids)), limit)] {
		p.Data = append(p.Data, c.a.objects[id])
	}
	return p, nil
}

// createdWithin returns the test that created or created[gte] and its like ask for.
func (c *call) createdWithin() func(int64) bool {
	exact, isExact := c.p.integer("created")
	gt, isGT := c.p.integer("created[gt]")
	gte, isGTE := c.p.integer("created[gte]")
	lt, isLT := c.p.integer("created[lt]")
	lte, isLTE := c.p.integer("created[lte]")
	return func(at int64) bool {
		return (!isExact || at == exact) && (!isGT || at > gt) && (!isGTE || at >= gte) && (!isLT || at < lt) && (!isLTE || at <= lte)
	}
}

// checkExpand refuses what cannot be expanded, before the call is executed. shape
// is the resource that the route answers with, nil if nothing in it expands.
func (p *params) checkExpand(shape object, isList bool) *Error {
	for _, path := range p.list("expand") {
		inner, at := path, shape
		if isList {
			var ok bool
			if inner, ok = strings.CutPrefix(path, "data."); !ok {
				return cannotExpand(path)
			}
		}
		names := strings.Split(inner, ".")
		if len(names) > 4 {
			return badRequest("", "expand", "You cannot expand more than 4 levels of a property (%s).", path)
		}
		for _, name := range names {
			if at == nil || at.refs()[name] == nil {
				return cannotExpand(path)
			}
			at = pointee(name)
		}
	}
	return nil
}

// pointee returns the type of resource that the ref of that name points to.
func pointee(name string) object {
	switch name {
	case "customer":
		return &customer{}
	case "payment_intent":
		return &paymentIntent{}
	case "charge", "latest_charge", "source_transaction":
		return &charge{}
	}
	return nil
}

func cannotExpand(path string) *Error {
	return badRequest("", "expand", "This property cannot be expanded (%s).", path)
}

// expand returns what a handler answered, copied, with the fields that expand[]
// names replaced by the resources they point to.
func (c *call) expand(v any) any {
	switch v := v.(type) {
	case *page:
		for i, o := range v.Data {
			o = o.clone()
			for _, path := range c.p.list("expand") {
				c.expandField(o, strings.TrimPrefix(path, "data."))
			}
			v.Data[i] = o
		}
		return v
	case object:
		o := v.clone()
		for _, path := range c.p.list("expand") {
			c.expandField(o, path)
		}
		return o
	}
	return v
}

func (c *call) expandField(o object, path string) {
	name, rest, more := strings.Cut(path, ".")
	r := o.refs()[name]
	if r.to == nil {
		to, ok := c.a.objects[r.id]
		if !ok {
			return
		}
		r.to = to.clone()
	}
	if more {
		c.expandField(r.to, rest)
	}
}
