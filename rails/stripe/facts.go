package stripe

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/tidwall/gjson"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

// fact is one JSON object of Stripe's, whose every name stands once.
type fact struct{ members []member }

// readFact reads the answer to a lookup. It fails with spend.Unavailable unless
// the answer is the object asked for.
func readFact(f rails.Fact, object, id string) (*fact, error) {
	if f.Reply.Status != 200 {
		return nil, fmt.Errorf("look up %s %s: status %d: %w", object, id, f.Reply.Status, spend.Unavailable)
	}
	got, err := parseObject(f.Reply.Body)
	if err != nil {
		return nil, fmt.Errorf("look up %s %s: %w: %w", object, id, err, spend.Unavailable)
	}
	if got.text("object") != object || got.text("id") != id {
		return nil, fmt.Errorf("look up %s %s: the answer is another object: %w", object, id, spend.Unavailable)
	}
	return got, nil
}

// parseObject reads a JSON object and refuses names that stand twice in it,
// of which parsers take either.
func parseObject(body []byte) (*fact, error) {
	if !gjson.ValidBytes(body) {
		return nil, fmt.Errorf("read reply: it is no JSON")
	}
	return objectOf(gjson.ParseBytes(body))
}

func objectOf(v gjson.Result) (*fact, error) {
	if !v.IsObject() {
		return nil, fmt.Errorf("read reply: it is no JSON object")
	}
	var room [48]member
	o := &fact{members: slices.Clone(appendMembers(room[:0], v.Raw))}
	if name, twice := repeated(o.members); twice {
		return nil, fmt.Errorf("read reply: the name %.80q stands twice", name)
	}
	return o, nil
}

// get returns the value of a field; that of an absent one is null.
func (o *fact) get(name string) gjson.Result {
	for i := range o.members {
		if o.members[i].name == name {
			return gjson.Parse(o.members[i].raw)
		}
	}
	return gjson.Result{}
}

// what names the object, for errors: "payment_intent pi_1".
func (o *fact) what() string { return o.text("object") + " " + o.text("id") }

// has reports whether the field is there and not null.
func (o *fact) has(name string) bool { return o.get(name).Type != gjson.Null }

// text returns a string field, "" where there is none.
func (o *fact) text(name string) string {
	if v := o.get(name); v.Type == gjson.String {
		return v.Str
	}
	return ""
}

// integer returns a field that is a whole number, not negative, within int64.
func (o *fact) integer(name string) (int64, error) {
	v := o.get(name)
	n, err := strconv.ParseInt(v.Raw, 10, 64)
	if v.Type != gjson.Number || err != nil || n < 0 || v.Raw[0] == '-' {
		return 0, fmt.Errorf("read %s of %s: it is no whole number: %w", name, o.what(), spend.Unavailable)
	}
	return n, nil
}

// currency returns the unit of the object's amounts.
func (o *fact) currency() (string, error) {
	unit, ok := parseCurrency(o.text("currency"))
	if !ok {
		return "", fmt.Errorf("read currency of %s: %.20q is not in Stripe's table: %w", o.what(), o.text("currency"), spend.Unavailable)
	}
	return unit, nil
}

// inner returns an expanded field that must be an object of the given type.
func (o *fact) inner(name, object string) (*fact, error) {
	in, err := objectOf(o.get(name))
	if err == nil && in.text("object") != object {
		err = fmt.Errorf("it is no %s", object)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s of %s: %w: %w", name, o.what(), err, spend.Unavailable)
	}
	return in, nil
}

// reference returns the id in a field that holds an id, an expanded object, or
// null; "" for null.
func (o *fact) reference(name string) (string, error) {
	v := o.get(name)
	switch {
	case v.Type == gjson.Null: // or missing
		return "", nil
	case v.Type == gjson.String && isID(v.Str):
		return v.Str, nil
	case v.IsObject():
		if in, err := objectOf(v); err == nil && isID(in.text("id")) {
			return in.text("id"), nil
		}
	}
	return "", fmt.Errorf("read %s of %s: it names no object: %w", name, o.what(), spend.Unavailable)
}

// payee returns the connected account that a charge or payment intent is passed
// on to, "" for none.
func (o *fact) payee() (string, error) {
	if !o.has("transfer_data") {
		return o.reference("destination")
	}
	data, err := objectOf(o.get("transfer_data"))
	if err != nil {
		return "", fmt.Errorf("read transfer_data of %s: %w: %w", o.what(), err, spend.Unavailable)
	}
	return data.reference("destination")
}
