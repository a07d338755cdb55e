module example.org/moe

go 1.23
