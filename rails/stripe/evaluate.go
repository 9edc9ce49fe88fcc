package stripe

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/rails"
)

// evaluate reads a spend as the table says: its amount, unit and payee, from
// parameters and from what its lookup returns (the head of gen/classes.tsv tells how
// that is written). What the table does not say in full is Unrecognised, under the
// operation's name.
func (x *reading) evaluate(f *form) (effect, error) {
	e := spends(spend.Leg{Kind: x.op.kind})
	var err error
	if e.object, err = x.object(f); err != nil {
		return effect{}, err
	}
	// What an evaluation holds is taken to outlive the call: copies are made for
	// the calls that come here, so that the others need no memory.
	call, parameters := *x, form{all: slices.Clone(f.all), tops: f.tops}
	v := evaluation{x: &call, f: &parameters}
	leg, err := v.leg()
	switch {
	case errors.Is(err, errUnreadable):
		return effect{class: spend.Unrecognised, object: e.object}, nil
	case errors.Is(err, errDue):
		e.lookups = []rails.Lookup{{Target: v.target}}
	case err != nil:
		return effect{}, err
	default:
		e.legs[0] = leg
	}
	return e, nil
}

var (
	errUnreadable = errors.New("the table does not say where it stands")
	errDue        = errors.New("a lookup is due")
)

// absent is the error of a parameter or a field that is not there: its name.
type absent string

func (a absent) Error() string { return string(a) + " is missing" }

func isAbsent(err error) bool {
	var a absent
	return errors.As(err, &a)
}

// evaluation is one reading of a call by the table.
type evaluation struct {
	x      *reading
	f      *form
	target string // of the lookup, once it is needed
	fact   *fact  // what it returned
}

// leg returns what moves. It fails with errUnreadable, with a refusal, or, when
// neither is to be had without it, with errDue.
func (v *evaluation) leg() (spend.Leg, error) {
	op := v.x.op
	payee, payeeErr := v.payee(op.payee)
	n, stated, amountErr := v.amount(op.amount)
	unit, unitErr := v.unit(op.currency)
	var worst error
	for _, err := range []error{payeeErr, amountErr, unitErr} {
		if err != nil && (worst == nil || errors.Is(worst, errDue) || errors.Is(err, errUnreadable)) {
			worst = err
		}
	}
	if worst != nil {
		return spend.Leg{}, worst
	}
	leg := spend.Leg{Kind: op.kind, Amount: spend.NewAmount(unit, n), Payee: payee}
	if stated == "" {
		return leg, nil // Stripe's own numbers need not be held against its own rules.
	}
	var err error
	leg.Amount, err = money(stated, n, unit, op.kind)
	return leg, err
}

// amount returns the number that a formula gives, and the parameter that states it,
// "" where it is reckoned from more. Of several alternatives the first counts that is
// there in full. A call that has a parameter of a later one besides is refused: which
// of the two Stripe takes is not known.
func (v *evaluation) amount(formula string) (n int64, stated string, err error) {
	var first error
	for rest, more := formula, true; more; {
		var alternative string
		alternative, rest, more = strings.Cut(rest, "|")
		if n, err = v.sum(alternative); isAbsent(err) {
			if first == nil {
				first = err
			}
			continue
		}
		if err == nil || errors.Is(err, errDue) {
			if other := v.beside(alternative, rest); other != "" {
				return 0, "", rails.Refusef(spend.Ambiguous, other, "%s says another amount than %s; send one of them", other, alternative)
			}
		}
		if err == nil && n <= 0 {
			err = rails.Refusef(spend.Malformed, "", "nothing is left to %s by %s", v.x.op.kind, v.x.op.name)
		}
		if !strings.ContainsAny(alternative, "+-*") && alternative[0] != '.' {
			stated = parameter(alternative)
		}
		return n, stated, err
	}
	return 0, "", v.unknown("amount", first)
}

// beside returns a parameter of other alternatives that the call has and that the
// chosen one is not made of.
func (v *evaluation) beside(chosen, others string) string {
	split := func(r rune) bool { return strings.ContainsRune("|+-*", r) }
	mine := strings.FieldsFunc(chosen, split)
	for _, place := range strings.FieldsFunc(others, split) {
		own := false
		for _, m := range mine {
			own = own || m == place
		}
		if own || place[0] == '.' {
			continue
		}
		if _, present, err := v.f.scalar(parameter(place)); present || err != nil {
			return parameter(place)
		}
	}
	return ""
}

// sum reckons one alternative: sums and differences of products. What is absent
// from the call needs no lookup.
func (v *evaluation) sum(alternative string) (total int64, err error) {
	sign, due := int64(1), error(nil)
	for rest := alternative; ; {
		end := strings.IndexAny(rest, "+-")
		term := rest
		if end >= 0 {
			term = rest[:end]
		}
		n, err := v.product(term)
		switch {
		case errors.Is(err, errDue):
			due = err
		case err != nil:
			return 0, err
		}
		if n *= sign; n > 0 && total+n < total || n < 0 && total+n > total {
			return 0, v.overflow()
		}
		if total += n; end < 0 {
			return total, due
		}
		if sign = 1; rest[end] == '-' {
			sign = -1
		}
		rest = rest[end+1:]
	}
}

func (v *evaluation) product(term string) (int64, error) {
	product := int64(1)
	for rest, more := term, true; more; {
		var place string
		place, rest, more = strings.Cut(rest, "*")
		n, err := v.number(place)
		if err != nil {
			return 0, err
		}
		if n != 0 && product > (1<<63-1)/n {
			return 0, v.overflow()
		}
		product *= n
	}
	return product, nil
}

func (v *evaluation) overflow() error {
	return rails.Refusef(spend.Malformed, "", "the amount of %s is beyond all bounds", v.x.op.name)
}

// number reads a whole number, positive in a parameter and not negative in a field.
func (v *evaluation) number(place string) (int64, error) {
	if field, ok := strings.CutPrefix(place, "."); ok {
		in, name, err := v.field(field)
		if err != nil {
			return 0, err
		}
		return in.integer(name)
	}
	name, err := v.param(place)
	if err != nil {
		return 0, err
	}
	n, present, err := v.f.number(name)
	if err == nil && !present {
		err = absent(name)
	}
	return n, err
}

// unit returns the currency in which the amount is. Where several alternatives tell it,
// they must say the same.
func (v *evaluation) unit(formula string) (unit string, err error) {
	var first error
	for rest, more := formula, true; more; {
		var place string
		place, rest, more = strings.Cut(rest, "|")
		if unit != "" && place[0] == '.' && v.fact == nil {
			continue // No lookup is made for what is known.
		}
		said, err := v.currency(place)
		switch {
		case isAbsent(err):
			if first == nil {
				first = err
			}
		case err != nil:
			return "", err
		case unit == "":
			unit = said
		case unit != said:
			return "", rails.Refusef(spend.Malformed, "currency", "the currency is %s and %s at once", unit, said)
		}
	}
	if unit == "" {
		return "", v.unknown("currency", first)
	}
	return unit, nil
}

// unknown is the error of an amount or a currency that is nowhere: of a call that
// leaves it out, or of an answer that does.
func (v *evaluation) unknown(what string, err error) error {
	if v.fact != nil {
		return fmt.Errorf("read %s of %s: %w: %w", what, v.fact.what(), err, spend.Unavailable)
	}
	if len(v.x.op.when) > 0 {
		return errUnreadable // It spends by another parameter than the one that would tell.
	}
	var name absent
	errors.As(err, &name)
	return rails.Refusef(spend.Malformed, string(name), "the %s is not known: %v", what, err)
}

func (v *evaluation) currency(place string) (string, error) {
	if field, ok := strings.CutPrefix(place, "."); ok {
		in, name, err := v.field(field)
		if err != nil {
			return "", err
		}
		unit, known := parseCurrency(in.text(name))
		if !known {
			return "", fmt.Errorf("read %s of %s: %.20q is not in Stripe's table: %w", field, v.fact.what(), in.text(name), spend.Unavailable)
		}
		return unit, nil
	}
	name, err := v.param(place)
	if err != nil {
		return "", err
	}
	value, present, err := v.f.scalar(name)
	if err != nil {
		return "", err
	}
	if !present {
		return "", absent(name)
	}
	unit, known := parseCurrency(value)
	if !known {
		return "", rails.Refusef(spend.Malformed, name, "%s is %.80q, which Stripe's table does not hold", name, value)
	}
	return unit, nil
}

// payee returns who is paid, "" where the call leaves it to Stripe.
func (v *evaluation) payee(formula string) (string, error) {
	payee, from := "", ""
	for rest, more := formula, formula != ""; more; {
		var place string
		place, rest, more = strings.Cut(rest, "|")
		if payee != "" && place[0] == '.' {
			continue
		}
		said, err := v.paid(place)
		switch {
		case isAbsent(err):
		case err != nil:
			return "", err
		case payee != "":
			return "", rails.Refusef(spend.Ambiguous, parameter(place), "%s and %s both name who is paid; send one", from, parameter(place))
		default:
			payee, from = said, parameter(place)
		}
	}
	return payee, nil
}

func (v *evaluation) paid(place string) (string, error) {
	switch {
	case place == "acting":
		return actor(v.x.account), nil
	case strings.Contains(place, "/"):
		object, err := v.x.fill(v.f, place)
		return object[strings.LastIndexByte(object, '/')+1:], err
	case place[0] == '.':
		in, name, err := v.field(place[1:])
		if err != nil {
			return "", err
		}
		return in.reference(name)
	}
	name, err := v.param(place)
	if err != nil {
		return "", err
	}
	value, present, err := v.f.scalar(name)
	switch {
	case err != nil:
		return "", err
	case !present:
		return "", absent(name)
	case strings.HasSuffix(name, "account_number]"):
		return "", errUnreadable // It is a secret, which must not be shown as a name.
	case value == "" || len(value) > 255 || !isVisible(value):
		return "", rails.Refusef(spend.Malformed, name, "%s is %.80q, which is no id of Stripe's", name, value)
	}
	return value, nil
}

// param returns the name of the parameter at a place of the table, and errUnreadable
// where that is none, or one that stands in a list that the call has.
func (v *evaluation) param(place string) (string, error) {
	if place == "?" || place == "opaque" {
		return "", errUnreadable
	}
	if list, _, is := strings.Cut(place, "[]"); is {
		if v.f.isHash(list) {
			return "", errUnreadable
		}
		return "", absent(list)
	}
	return parameter(place), nil
}

// parameter spells a place as the parameter it is: "amount.value" of a JSON body is
// amount[value].
func parameter(place string) string {
	base, rest, nested := strings.Cut(place, ".")
	if !nested {
		return place
	}
	return base + "[" + strings.ReplaceAll(rest, ".", "][") + "]"
}

// field returns the object in which a field of what the lookup returned stands, and
// its name there.
func (v *evaluation) field(path string) (in *fact, name string, err error) {
	if v.fact == nil {
		if err := v.look(); err != nil {
			return nil, "", err
		}
	}
	in, name = v.fact, path
	for {
		first, rest, nested := strings.Cut(name, ".")
		if !in.has(first) {
			return nil, "", absent("." + path)
		}
		if !nested {
			return in, name, nil
		}
		if in, err = objectOf(in.get(first)); err != nil {
			return nil, "", fmt.Errorf("read %s of %s: %w: %w", path, v.fact.what(), err, spend.Unavailable)
		}
		name = rest
	}
}

// look reads what the lookup returned; it fails with errDue before that.
func (v *evaluation) look() error {
	named := 0
	for rest, more := v.x.op.lookup, true; more; {
		var template string
		template, rest, more = strings.Cut(rest, "|")
		if strings.Contains(template, "?") || !strings.HasSuffix(template, "}") {
			return errUnreadable // What it returns is not the object that it names.
		}
		target, err := v.x.fill(v.f, template)
		switch {
		case isAbsent(err):
			continue
		case err != nil:
			return err
		}
		v.target = target
		named++
	}
	switch named {
	case 0:
		return rails.Refusef(spend.Malformed, "", "%s names nothing whose amount could be looked up", v.x.op.name)
	case 1:
	default:
		return rails.Refusef(spend.Ambiguous, "", "%s names %d things; name one", v.x.op.name, named)
	}
	for i := range v.x.facts {
		if v.x.facts[i].Lookup.Target == v.target {
			id := v.target[strings.LastIndexByte(v.target, '/')+1:]
			var err error
			v.fact, err = readFact(v.x.facts[i], "", id)
			return err
		}
	}
	return errDue
}

// fill writes the ids of the call into a template of the table: {id} and {id2} are
// those of its path, others are parameters.
func (x *reading) fill(f *form, template string) (string, error) {
	var b strings.Builder
	for rest := template; ; {
		before, behind, more := strings.Cut(rest, "{")
		b.WriteString(before)
		if !more {
			return b.String(), nil
		}
		name, after, _ := strings.Cut(behind, "}")
		id := ""
		switch name {
		case "id":
			id = x.id
		case "id2":
			id = x.id2
		default:
			var err error
			if id, err = f.id(name); err != nil {
				return "", err
			}
		}
		if id == "" {
			return "", absent(name)
		}
		b.WriteString(id)
		rest = after
	}
}

// object returns the object that the call writes to, "" where it names none.
func (x *reading) object(f *form) (string, error) {
	for rest, more := x.op.object, x.op.object != ""; more; {
		var template string
		template, rest, more = strings.Cut(rest, "|")
		object, err := x.fill(f, template)
		if !isAbsent(err) {
			return object, err
		}
	}
	return "", nil
}

// actor returns the account that a call acts for: the last of a context.
func actor(account string) string { return account[strings.LastIndexByte(account, '/')+1:] }
