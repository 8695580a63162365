# The fields of the ABI's structures, from the header itself, so that no list of them can fall behind.
/^struct assay_/ { name = $2; next }
/^};/ { name = "" }
name != "" && /^    (u?int[0-9]+_t|struct assay_ref) / {
    field = $2
    type = $1
    if (type == "struct") { field = $3; type = "ref" }
    sub(/;.*/, "", field)
    array = field ~ /\[/
    sub(/\[.*/, "", field)
    sign = type ~ /^int/ ? "FIELD_SIGNED" : type == "ref" ? "FIELD_REF" : array ? "FIELD_BYTES" : "FIELD_UNSIGNED"
    printf "{\"%s\", \"%s\", offsetof(struct %s, %s), sizeof(((struct %s *)0)->%s), %s},\n", name, field, name, field, name, field, sign
}
