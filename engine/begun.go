package engine

import (
	"bytes"
	"sync"
	"time"

	"github.com/outgo/outgo/engine/spend"
)

// maxBegun bounds how many requests begun keeps, at some kilobytes each. Beyond
// it they are read from the store as others are.
const maxBegun = 1024

// begun keeps the requests that are executing as they were written, so that the
// action that ends one need not decode it. What it keeps stands for the very
// bytes that were written and for no others: it cannot be out of date, whoever
// else writes to the store.
type begun struct {
	mu   sync.Mutex
	byID map[spend.ID]begunRequest
}

type begunRequest struct {
	stored  []byte
	body    requestBody    // its own
	request *spend.Request // which nobody changes
}

// get returns the request that stored is the stored form of, if it is kept. It
// belongs to the caller.
func (k *begun) get(id spend.ID, stored []byte) (spend.Request, bool) {
	known, ok := k.known(id, stored)
	if !ok {
		return spend.Request{}, false
	}
	return known.request.Clone(), true
}

// borrow is get for an action, which hands the request to nobody and changes no
// element of its lists: it may add to them, and replace them. It fills r, and returns
// the body of the request as well.
func (k *begun) borrow(id spend.ID, stored []byte, r *spend.Request) (body requestBody, ok bool) {
	known, ok := k.known(id, stored)
	if !ok {
		return requestBody{}, false
	}
	*r = *known.request
	r.Clip()
	return known.body, true
}

func (k *begun) known(id spend.ID, stored []byte) (begunRequest, bool) {
	k.mu.Lock()
	known, ok := k.byID[id]
	k.mu.Unlock()
	return known, ok && bytes.Equal(known.stored, stored)
}

// put keeps r, whose stored form is stored, and the body of that, while it is
// executing; not if reading that form would give another request. It is r's owner
// from then on, and of what r points to.
func (k *begun) put(r *spend.Request, stored []byte, body requestBody, exact bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if r.State != spend.Executing || !exact {
		delete(k.byID, r.ID)
		return
	}
	if k.byID == nil {
		k.byID = make(map[spend.ID]begunRequest)
	}
	if len(k.byID) >= maxBegun {
		clear(k.byID) // those that nobody ends would fill it
	}
	r.Intent.Claims.Authorization, r.Intent.LookedUp, r.Intent.Call = "", time.Time{}, "" // none is stored
	k.byID[r.ID] = begunRequest{stored, body, r}
}
