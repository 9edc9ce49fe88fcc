package spend_test

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/outgo/outgo/engine/spend"
)

// A clone is equal and has no memory in common, whatever fields a request gets.
func TestACloneSharesNothing(t *testing.T) {
	var r spend.Request
	fill(reflect.ValueOf(&r).Elem())
	c := r.Clone()
	if !reflect.DeepEqual(r, c) {
		t.Fatalf("got %+v, want %+v", c, r)
	}
	shared := map[uintptr]string{}
	walk("r", reflect.ValueOf(r), func(path string, p uintptr) { shared[p] = path })
	walk("c", reflect.ValueOf(c), func(path string, p uintptr) {
		if with, ok := shared[p]; ok {
			t.Errorf("%s is %s", path, with)
		}
	})
	if len(shared) < 10 {
		t.Fatalf("found only %d slices and pointers to compare: %v", len(shared), shared)
	}
}

// Whoever appends to any list of a clipped request leaves those alone who share it.
func TestAClippedRequestHasNoRoomInItsLists(t *testing.T) {
	var r spend.Request
	fill(reflect.ValueOf(&r).Elem())
	shared := r
	r.Clip()
	if !reflect.DeepEqual(r, shared) {
		t.Fatalf("got %+v, want %+v", r, shared)
	}
	lists := 0
	for _, of := range []any{r, r.Intent, r.Verdict} {
		v := reflect.ValueOf(of)
		for i := range v.NumField() {
			if f := v.Field(i); f.Kind() == reflect.Slice {
				if lists++; f.Cap() != f.Len() {
					t.Errorf("%T.%s has room for %d more", of, v.Type().Field(i).Name, f.Cap()-f.Len())
				}
			}
		}
	}
	if lists < 8 {
		t.Errorf("found only %d lists", lists)
	}
}

// fill puts something behind every pointer and in every slice.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 4))
		for i := range v.Len() {
			fill(v.Index(i))
		}
	case reflect.Struct:
		switch v.Addr().Interface().(type) {
		case *spend.Amount:
			v.Set(reflect.ValueOf(spend.NewAmount("USD", 7)))
			return
		case *time.Time:
			v.Set(reflect.ValueOf(time.Unix(7, 0).UTC()))
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.String:
		v.SetString("x")
	case reflect.Int:
		v.SetInt(7)
	case reflect.Uint64:
		v.SetUint(7)
	case reflect.Bool:
		v.SetBool(true)
	default:
		panic(fmt.Sprintf("a request has a %s: say what a clone does with it", v.Type()))
	}
}

// walk tells of every slice and pointer under v.
func walk(path string, v reflect.Value, tell func(path string, p uintptr)) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			tell(path, v.Pointer())
			walk(path, v.Elem(), tell)
		}
	case reflect.Slice:
		if !v.IsNil() {
			tell(path, v.Pointer())
		}
		for i := range v.Len() {
			walk(fmt.Sprintf("%s[%d]", path, i), v.Index(i), tell)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return
		}
		for i := range v.NumField() {
			walk(path+"."+v.Type().Field(i).Name, v.Field(i), tell)
		}
	}
}
