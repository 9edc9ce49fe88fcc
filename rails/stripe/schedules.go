package stripe

import (
	"strings"
)

// A schedule changes a subscription by itself, from phase to phase. Each phase is
// judged like a subscription of its own, and all that a call writes are added up: it
// arms them all.

// phased are the parameters of a phase that do not change what a period of it costs.
const phased = "add_invoice_items application_fee_percent automatic_tax billing_cycle_anchor billing_thresholds collection_method coupon currency default_payment_method" +
	" default_tax_rates description discounts duration end_date invoice_settings items iterations metadata on_behalf_of proration_behavior start_date transfer_data" +
	" trial trial_end"

// scheduled are those of a schedule.
const scheduled = "billing_mode customer customer_account default_settings end_behavior expand from_subscription metadata phases proration_behavior start_date"

// createSchedule spends one period of each phase, or of the subscription that it takes
// over.
func createSchedule(x *reading, f *form) (effect, error) {
	customer, _, err := x.customer(f)
	if err != nil {
		return effect{}, err
	}
	from, err := f.id("from_subscription")
	if err != nil {
		return effect{}, err
	}
	e := arms("customers/"+customer, "")
	if from != "" {
		e.object = "subscriptions/" + from
	}
	if err := f.known(scheduled); err != nil {
		return e, err
	}
	if from != "" && !f.isHash("phases") {
		if f.isHash("default_settings") {
			return e, unclear("what its settings make of the subscription")
		}
		return x.amended(f, e, from, nil, nil)
	}
	return x.phases(f, e)
}

// updateSchedule spends one period of each phase that it writes.
func updateSchedule(x *reading, f *form) (effect, error) {
	e := arms("subscription_schedules/"+x.id, "")
	if f.only("expand metadata") {
		return e.waiting(nil)
	}
	if err := f.known(scheduled); err != nil {
		return e, err
	}
	if !f.isHash("phases") {
		return e, unclear("what its settings make of its phases")
	}
	now, err := x.ask("/v1/subscription_schedules/"+x.id, "subscription_schedule", x.id)
	if err != nil {
		return e, err
	}
	if now.has("default_settings") {
		settings, err := objectOf(now.get("default_settings"))
		if err != nil {
			return e, err
		}
		if taxed, err := settings.isTaxed(); err != nil || taxed {
			return e, unclear("what tax adds to its phases")
		}
		if e.legs[0].Payee, err = settings.payee(); err != nil {
			return e, err
		}
	}
	return x.phases(f, e)
}

// phases adds up what the phases of the call cost.
func (x *reading) phases(f *form, e effect) (effect, error) {
	places, err := f.objects("phases", phased)
	if err != nil {
		return e, err
	}
	if taxed, _, err := f.flag("default_settings[automatic_tax][enabled]"); err != nil || taxed {
		return e, orUnclear(err, "what tax adds to its phases")
	}
	for i := range f.all {
		if p := &f.all[i]; p.top() == "phases" && strings.Contains(p.name, "tax_rates]") && p.value != "" {
			return e, unclear("what tax adds to its phases")
		}
	}
	var b bill
	payees := []string{"default_settings[transfer_data][destination]"}
	for _, at := range places {
		payees = append(payees, sub(at, "transfer_data", "destination"))
		if taxed, _, err := f.flag(sub(at, "automatic_tax", "enabled")); err != nil || taxed {
			return e, orUnclear(err, "what tax adds to its phases")
		}
		if currency := sub(at, "currency"); f.sets(currency) {
			unit, err := f.currencyAt(currency)
			if err == nil && b.unit != "" && unit != b.unit {
				err = unclear("its phases are in several currencies")
			}
			if err != nil {
				return e, err
			}
			b.unit = unit
		}
		phase, err := x.bill(f, sub(at, "items"), sub(at, "add_invoice_items"))
		if err != nil {
			return e, err
		}
		b.lines = append(b.lines, phase.lines...)
	}
	for _, name := range payees {
		payee, err := f.given(name)
		if err == nil && payee != "" && e.legs[0].Payee != "" && payee != e.legs[0].Payee {
			err = unclear("its phases are passed on to several accounts")
		}
		if err != nil {
			return e, err
		}
		if payee != "" {
			e.legs[0].Payee = payee
		}
	}
	if len(b.lines) == 0 {
		return e, unclear("its phases have no items")
	}
	unit, n, err := b.total()
	if err != nil {
		return e, err
	}
	return e.moving(unit, n, ""), nil
}

func orUnclear(err error, why string) error {
	if err != nil {
		return err
	}
	return unclear(why)
}

// cancelSchedule cancels the subscription at once, with a last invoice and with credit
// for what was not used unless the call says otherwise.
func cancelSchedule(x *reading, f *form) (effect, error) {
	e := arms("subscription_schedules/"+x.id, "")
	billed, stated, err := f.flag("invoice_now")
	if err != nil {
		return effect{}, err
	}
	prorated, said, err := f.flag("prorate")
	if err != nil {
		return effect{}, err
	}
	if stated && !billed && said && !prorated {
		return e.waiting(nil)
	}
	if err := f.known("expand invoice_now prorate"); err != nil {
		return e, err
	}
	now, err := x.ask("/v1/subscription_schedules/"+x.id, "subscription_schedule", x.id)
	if err != nil {
		return e, err
	}
	id, err := now.reference("subscription")
	if err != nil || id == "" {
		return e.waiting(err) // it has not begun
	}
	return x.canceled(e, id, prorated || !said)
}

// releaseSchedule spends one period of a subscription that its schedule would have
// ended, and that goes on without it.
func releaseSchedule(x *reading, f *form) (effect, error) {
	e := arms("subscription_schedules/"+x.id, "")
	if err := f.known("expand preserve_cancel_date"); err != nil {
		return e, err
	}
	if kept, _, err := f.flag("preserve_cancel_date"); err != nil || kept {
		return e.waiting(err)
	}
	now, err := x.ask("/v1/subscription_schedules/"+x.id, "subscription_schedule", x.id)
	if err != nil {
		return e, err
	}
	id, err := now.reference("subscription")
	if err != nil || id == "" || now.text("end_behavior") == "release" {
		return e.waiting(err)
	}
	return x.amended(&form{}, e, id, nil, nil)
}
