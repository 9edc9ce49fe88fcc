module github.com/outgo/outgo/cmd/outgo/testdata/clients/stripego

go 1.26.0

require github.com/stripe/stripe-go/v86 v86.1.0
