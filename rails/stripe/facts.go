package stripe

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

// fact is one JSON object of Stripe's, whose every name stands once. It is read off
// bytes that must not change while it is in use; what its methods return are copies.
type fact struct{ members members }

// readFact reads the answer to a lookup. It fails with spend.Unavailable unless
// the answer is the object asked for; "" stands for an object of any type.
func readFact(f rails.Fact, object, id string) (*fact, error) {
	what := strings.TrimSpace(object + " " + id)
	if f.Reply.Status != 200 {
		return nil, fmt.Errorf("look up %s: status %d: %w", what, f.Reply.Status, spend.Unavailable)
	}
	got, err := parseObject(f.Reply.Body)
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w: %w", what, err, spend.Unavailable)
	}
	if is := got.text("object"); is == "" || object != "" && is != object || got.text("id") != id {
		return nil, fmt.Errorf("look up %s: the answer is another object: %w", what, spend.Unavailable)
	}
	return got, nil
}

// parseObject reads a JSON object and refuses names that stand twice in it,
// of which parsers take either.
func parseObject(body []byte) (*fact, error) {
	o := new(fact)
	if err := o.read(body); err != nil {
		return nil, err
	}
	return o, nil
}

// read is parseObject for a fact that is there already, and empty.
func (o *fact) read(body []byte) error {
	if !o.members.read(body) {
		return errors.New("read reply: it is no JSON object")
	}
	if o.members.repeated() {
		return errors.New("read reply: a name stands twice")
	}
	return nil
}

func objectOf(v gjson.Result) (*fact, error) { return parseObject([]byte(v.Raw)) }

// get returns the value of a field; that of an absent one is null.
func (o *fact) get(name string) gjson.Result { return gjson.ParseBytes(o.members.value(name)) }

// what names the object, for errors: "payment_intent pi_1".
func (o *fact) what() string { return o.text("object") + " " + o.text("id") }

// has reports whether the field is there and not null.
func (o *fact) has(name string) bool {
	v := o.members.value(name)
	return len(v) > 0 && v[0] != 'n'
}

// text returns a string field, "" where there is none.
func (o *fact) text(name string) string {
	v := o.members.value(name)
	if len(v) == 0 || v[0] != '"' {
		return ""
	}
	if v = v[1 : len(v)-1]; bytes.IndexByte(v, '\\') >= 0 {
		return o.get(name).Str
	}
	return word(v)
}

// word is a string of its bytes: for those that most replies are made of, one that
// takes no memory.
func word(b []byte) string {
	for _, w := range [...]string{"payment_intent", "charge", "succeeded", "usd", "eur"} {
		if string(b) == w {
			return w
		}
	}
	return string(b)
}

// integer returns a field that is a whole number, not negative, within int64.
func (o *fact) integer(name string) (int64, error) {
	v := o.members.value(name)
	n, err := strconv.ParseInt(string(v), 10, 64)
	if err != nil || n < 0 || v[0] == '-' {
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
	if !o.has(name) {
		return "", nil
	}
	if id := o.text(name); isID(id) {
		return id, nil
	}
	if in, err := objectOf(o.get(name)); err == nil && isID(in.text("id")) {
		return in.text("id"), nil
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
