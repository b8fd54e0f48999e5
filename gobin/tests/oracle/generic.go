//go:build go1.18

package main

type number interface{ ~int | ~float64 }

func sum[T number](values ...T) (total T) {
	for _, value := range values {
		total += value
	}
	return total
}

//go:noinline
func largest[K comparable, V number](values map[K]V) (key K) {
	var best V
	for k, v := range values {
		if v > best || func() bool { return sum(v, best) < 0 }() {
			key, best = k, v
		}
	}
	return key
}

func init() {
	if largest(map[string]int{"a": 1}) == "" || largest(map[int]float64{1: 1}) == 0 {
		panic("unreachable")
	}
}
