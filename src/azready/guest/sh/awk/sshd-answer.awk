!answer { if ($0 ~ /^flags /) flags = $0; else own[substr($0, 1, index($0, "\t") - 1)] = substr($0, index($0, "\t") + 1); next }
{
    name = keyword($1)
    value = substr($0, length($1) + 2)
    mine = own[name]
    gsub(/\t/, " ", mine)
    if (mine == value) value = own[name]
    else gsub(/ /, "\t", value)
    take(0, name, value)
}
END {
    sub(/^flags yes/, "flags no", flags)
    print flags
    print_all()
}
