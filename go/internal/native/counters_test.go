package native

import (
	"reflect"
	"slices"
	"testing"
	"time"
)

func TestBoundsOfFetchTimesAreTheEngines(t *testing.T) {
	if first, last := FetchTimeBounds[0], FetchTimeBounds[len(FetchTimeBounds)-1]; first != .005 || last != 10 {
		t.Errorf("%v to %v seconds", first, last)
	}
	if !slices.IsSorted(FetchTimeBounds[:]) {
		t.Error(FetchTimeBounds)
	}
}

// Plus takes every field into account, also one that is added later.
func TestPlusAddsEveryField(t *testing.T) {
	var one Counters
	forEachNumber(reflect.ValueOf(&one).Elem(), func(field reflect.Value) {
		switch field.Kind() {
		case reflect.Bool:
			field.SetBool(true)
		case reflect.Int64:
			field.SetInt(1)
		case reflect.Struct:
			field.Set(reflect.ValueOf(time.Unix(1, 0)))
		default:
			field.SetUint(1)
		}
	})
	sum := (Counters{}).Plus(one).Plus(one)
	numbers := 0
	forEachNumber(reflect.ValueOf(&sum).Elem(), func(field reflect.Value) {
		numbers++
		if end, isTime := field.Interface().(time.Time); isTime {
			if !end.Equal(time.Unix(1, 0)) {
				t.Errorf("number %d is %v", numbers, end)
			}
			return
		}
		if !(field.Kind() == reflect.Bool && field.Bool() || field.CanInt() && field.Int() == 2 || field.CanUint() && field.Uint() == 2) {
			t.Errorf("number %d is %v", numbers, field)
		}
	})
	if numbers < 30 {
		t.Errorf("only %d numbers were looked at", numbers)
	}
}

func forEachNumber(value reflect.Value, visit func(reflect.Value)) {
	switch value.Kind() {
	case reflect.Struct:
		if value.Type() == reflect.TypeFor[time.Time]() {
			visit(value)
			return
		}
		for index := range value.NumField() {
			forEachNumber(value.Field(index), visit)
		}
	case reflect.Array:
		for index := range value.Len() {
			forEachNumber(value.Index(index), visit)
		}
	default:
		visit(value)
	}
}

func TestTheEarlierOfTwoTimesCounts(t *testing.T) {
	early, late, none := time.Unix(1, 0), time.Unix(2, 0), time.Time{}
	for _, times := range [][3]time.Time{
		{early, late, early}, {late, early, early}, {none, late, late}, {late, none, late}, {none, none, none},
	} {
		if earlier := earlier(times[0], times[1]); earlier != times[2] {
			t.Errorf("of %v and %v: %v", times[0], times[1], earlier)
		}
	}
}
