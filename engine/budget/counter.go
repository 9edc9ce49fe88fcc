package budget

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/outgo/outgo/engine/spend"
	"github.com/outgo/outgo/engine/store"
)

// format is the first byte of every value written here.
const format = 1

// ErrNotReserved is wrapped by a Post or Void of more than is reserved, and by
// a Release of more than is posted: something was ended twice, or never begun.
var ErrNotReserved = errors.New("budget: more than the counter holds")

// counter is one budget in one window. Its stored form is the format byte, then
// "reserved posted", for example "\x01120 5000".
type counter struct {
	reserved, posted quantity
}

// quantity is a sum that may hold unlimited amounts. They are counted apart,
// because nothing can be taken from their sum. Its text form is the finite
// part, followed by "+2u" where it holds two unlimited amounts.
type quantity struct {
	finite    spend.Amount
	unlimited int
}

func (q *quantity) add(a spend.Amount) error {
	if a.IsUnlimited() {
		q.unlimited++
		return nil
	}
	sum, err := q.finite.Add(a)
	if err != nil {
		return err
	}
	q.finite = sum
	return nil
}

// take removes what was added before.
func (q *quantity) take(a spend.Amount) error {
	if a.IsUnlimited() {
		if q.unlimited == 0 {
			return fmt.Errorf("take %s: %w", a, ErrNotReserved)
		}
		q.unlimited--
		return nil
	}
	rest, err := q.finite.Sub(a)
	if err != nil {
		return err
	}
	if a.Sign() < 0 || rest.Sign() < 0 {
		return fmt.Errorf("take %s of %s: %w", a, q.finite, ErrNotReserved)
	}
	q.finite = rest
	return nil
}

// total returns what counts against limits: reserved and posted together.
func (c counter) total() (spend.Amount, error) {
	if c.reserved.unlimited+c.posted.unlimited > 0 {
		return spend.Unlimited(c.reserved.finite.Unit()), nil
	}
	return c.reserved.finite.Add(c.posted.finite)
}

// readCounter returns the counter at key, which holds nought if it is absent.
func readCounter(r store.Reader, key, unit string) (counter, error) {
	value, err := r.Get(key)
	if errors.Is(err, store.ErrNotFound) {
		nought := quantity{finite: spend.NewAmount(unit, 0)}
		return counter{reserved: nought, posted: nought}, nil
	}
	if err != nil {
		return counter{}, fmt.Errorf("read budget %s: %w", key, err)
	}
	if len(value) == 0 || value[0] != format {
		return counter{}, fmt.Errorf("read budget %s: unknown format", key)
	}
	if c, ok := plainCounter(value[1:], unit); ok {
		return c, nil
	}
	reserved, posted, ok := strings.Cut(string(value[1:]), " ")
	if !ok {
		return counter{}, fmt.Errorf("read budget %s: not two numbers", key)
	}
	var c counter
	if c.reserved, err = parseQuantity(unit, reserved); err == nil {
		c.posted, err = parseQuantity(unit, posted)
	}
	if err == nil && c.reserved.finite.Sign() < 0 {
		err = errors.New("negative reservation")
	}
	if err != nil {
		// Not wrapped: a damaged store is nobody's input and must not look so.
		return counter{}, fmt.Errorf("read budget %s: %v", key, err) //nolint:errorlint // see above
	}
	return c, nil
}

// plainCounter reads what nearly every counter is: two numbers of a few digits.
func plainCounter(form []byte, unit string) (counter, bool) {
	reserved, form, ok := cutPlain(form)
	if !ok || len(form) == 0 || form[0] != ' ' {
		return counter{}, false
	}
	posted, form, ok := cutPlain(form[1:])
	if !ok || len(form) > 0 {
		return counter{}, false
	}
	c := counter{reserved: quantity{finite: spend.NewAmount(unit, reserved)}}
	c.posted.finite = spend.NewAmount(unit, posted)
	return c, true
}

// cutPlain takes a number of up to 18 digits off the front of form. It reports false
// for a longer one, one with a sign and one that begins with a nought.
func cutPlain(form []byte) (n int64, rest []byte, ok bool) {
	const most = 18 // which fit in an int64, whatever they are
	i := 0
	for i < len(form) && i < most && form[i]-'0' <= 9 {
		n = n*10 + int64(form[i]-'0')
		i++
	}
	rest = form[i:]
	if i == 0 || i > 1 && form[0] == '0' || len(rest) > 0 && rest[0]-'0' <= 9 {
		return 0, nil, false
	}
	return n, rest, true
}

func parseQuantity(unit, s string) (quantity, error) {
	number, many, ok := strings.Cut(s, "+")
	q, n := quantity{}, 0
	if ok {
		var err error
		if n, err = strconv.Atoi(strings.TrimSuffix(many, "u")); err != nil || n <= 0 {
			return q, fmt.Errorf("no count of unlimited amounts: %q", many)
		}
	}
	a, err := spend.ParseAmount(unit, number)
	if err != nil {
		return q, err
	}
	if a.IsUnlimited() {
		return q, errors.New("unlimited amounts are not counted")
	}
	return quantity{finite: a, unlimited: n}, nil
}

func (q quantity) append(b []byte) []byte {
	b = q.finite.AppendDecimal(b)
	if q.unlimited == 0 {
		return b
	}
	return append(strconv.AppendInt(append(b, '+'), int64(q.unlimited), 10), 'u')
}

// write stores the counter. It refuses one whose total nobody could read.
func (c counter) write(tx store.Tx, key string) error {
	if _, err := c.total(); err != nil {
		return fmt.Errorf("write budget %s: %w", key, err)
	}
	room := store.LenderOf(tx)
	value := append(room.Lend(48), format)
	value = c.posted.append(append(c.reserved.append(value), ' '))
	if err := room.PutLent(key, value); err != nil {
		return fmt.Errorf("write budget %s: %w", key, err)
	}
	return nil
}
