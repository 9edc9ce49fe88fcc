package engine

import (
	"runtime"
	"slices"
)

// A leader lets others run before it takes its batch. Those who have just been answered
// are about to come again, and would otherwise fill every other batch; a batch costs the
// same sync however many it has. Once lets those run who wait for this processor, twice
// those whom they have woken, which is minGathers; then it goes on until as many wait as
// in the last two batches on average, maxGathers times at most. Who is alone is delayed
// by nothing.
const (
	minGathers = 2
	maxGathers = 12
)

// leadBatches commits batches until own is among the answered ones, then hands
// the lead to the next caller that waits.
func (c *committer) leadBatches(own *pending) {
	for !own.answered {
		c.gather()
		if left := c.commit(c.taken); len(left) > 0 {
			c.mu.Lock()
			c.queue = slices.Insert(c.queue, 0, left...)
			c.mu.Unlock()
		}
	}
	<-own.told
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handOver()
}

// gather takes the next batch out of the queue.
func (c *committer) gather() {
	for i := range maxGathers {
		runtime.Gosched()
		if i+1 >= minGathers && c.waiting() >= (c.sizes[0]+c.sizes[1])/2 {
			break
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	n := min(len(c.queue), maxBatchActions)
	c.sizes = [2]int{c.sizes[1], n}
	c.taken = append(c.taken[:0], c.queue[:n]...)
	c.queue = slices.Delete(c.queue, 0, n)
}

func (c *committer) waiting() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.queue)
}

// handOver makes the first caller that still waits the leader; where none of
// them does, a goroutine leads for them. It is called with mu held.
func (c *committer) handOver() {
	for _, p := range c.queue {
		if !p.gone {
			p.leads = true
			p.told <- struct{}{}
			return
		}
	}
	if len(c.queue) > 0 {
		go c.leadBatches(c.queue[len(c.queue)-1])
		return
	}
	c.leading = false
}
