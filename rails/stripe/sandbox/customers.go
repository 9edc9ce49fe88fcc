package sandbox

import "maps"

// customer is whom an account does business with.
type customer struct {
	head
	Balance       int64             `json:"balance"`
	Currency      text              `json:"currency"`
	DefaultSource text              `json:"default_source"`
	Delinquent    bool              `json:"delinquent"`
	Description   text              `json:"description"`
	Email         text              `json:"email"`
	Metadata      map[string]string `json:"metadata"`
	Name          text              `json:"name"`
	Phone         text              `json:"phone"`
	Shipping      *struct{}         `json:"shipping"`
}

func (cu *customer) refs() map[string]*ref { return nil }

func (cu *customer) clone() object {
	dup := *cu
	dup.Metadata = maps.Clone(cu.Metadata)
	return &dup
}

func createCustomer(c *call) (any, *Error) {
	p := c.p
	cu := &customer{
		head: c.head("cus_", "customer"), DefaultSource: text(c.paymentMethod("source")), Description: p.text("description"),
		Email: p.text("email"), Metadata: c.metadata(nil), Name: p.text("name"), Phone: p.text("phone"),
	}
	cu.Balance, _ = p.integer("balance")
	if p.err != nil {
		return nil, p.err
	}
	c.add(cu.ID, cu)
	return cu, nil
}

func showCustomer(c *call) (any, *Error) {
	cu, ok := find[*customer](c, c.object)
	if !ok {
		return nil, missing("customer", "customer", c.object)
	}
	return cu, nil
}

func listCustomers(c *call) (any, *Error) {
	of := c.p.text("email")
	return list(c, "customer", "/v1/customers", func(cu *customer) bool { return of == "" || cu.Email == of })
}
