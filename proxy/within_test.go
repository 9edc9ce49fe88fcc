package proxy

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestWithinEndsLikeAContextWithATimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newWithin(time.Second)
		if c.Err() != nil || c.done != nil {
			t.Errorf("it is over before its time (%v), or has a timer that nobody waits for", c.Err())
		}
		if until, ok := c.Deadline(); !ok || time.Until(until) != time.Second {
			t.Errorf("it ends %s from now, want a second", time.Until(until))
		}
		child, cancel := context.WithCancel(c)
		defer cancel()
		<-child.Done()
		if !errors.Is(c.Err(), context.DeadlineExceeded) || !errors.Is(child.Err(), context.DeadlineExceeded) {
			t.Errorf("after its time: %v, and %v for its child", c.Err(), child.Err())
		}
		c.end()

		unseen := newWithin(time.Second)
		time.Sleep(2 * time.Second)
		if !errors.Is(unseen.Err(), context.DeadlineExceeded) {
			t.Errorf("after its time, with nobody waiting: %v", unseen.Err())
		}

		ended := newWithin(time.Second)
		ended.end()
		<-ended.Done()
		if !errors.Is(ended.Err(), context.Canceled) {
			t.Errorf("once ended: %v", ended.Err())
		}
	})
}
