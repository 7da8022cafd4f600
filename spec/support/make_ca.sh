#!/bin/sh
# Makes the certificates of the specs: make_ca.sh FOLDER
#
# Each line of the table below is a certificate. FOLDER/NAME.pem holds it with the chain that its
# server sends, FOLDER/NAME.chain that chain, FOLDER/NAME.key its key. FOLDER/hashed holds the root
# as in OpenSSL's CA folders. The dates are fixed, so a folder never expires. It is made under
# another name and then renamed. If several processes run this, one makes it while the others wait.
set -eu
umask 077

folder=$1
mkdir -p "$(dirname "$folder")"
exec 9>"$folder.lock"
flock 9
if [ -d "$folder" ] && ! [ "$0" -nt "$folder/made" ]; then exit 0; fi

always='200101000000Z 491231235959Z'
past='200101000000Z 210630120000Z'
future='480101000000Z 491231235959Z'
far='20490601000000Z 99991231235959Z'

# NAME             ISSUER       KEY      DATES   SENT   SUBJECT                    EXTENSIONS
table() { cat <<'TABLE'
root               self         p256     always  leaf   /CN=Specs Root             ca
middle             root         p256     always  leaf   /CN=Specs Intermediate     ca
stranger           self         p256     always  leaf   /CN=Stranger Root          ca
old_middle         root         p256     past    leaf   /CN=Old Intermediate       ca
good               middle       p256     always  chain  /O=Specs/CN=localhost      DNS:localhost,IP:127.0.0.1,IP:::1
direct             root         p256     always  chain  /CN=localhost              DNS:localhost,IP:127.0.0.1,IP:::1
rsa                middle       rsa2048  always  chain  /CN=localhost              DNS:localhost,IP:127.0.0.1,IP:::1
ed25519            middle       ed25519  always  chain  /CN=localhost              DNS:localhost,IP:127.0.0.1,IP:::1
ed448              middle       ed448    always  chain  /CN=localhost              DNS:localhost,IP:127.0.0.1,IP:::1
incomplete         middle       p256     always  leaf   /CN=localhost              DNS:localhost,IP:127.0.0.1,IP:::1
other_host         middle       p256     always  chain  /CN=localhost              DNS:other.example,DNS:www.other.example
other_ip           middle       p256     always  chain  /CN=127.0.0.1              DNS:localhost,IP:192.0.2.7
name_only          middle       p256     always  chain  /CN=localhost              DNS:localhost
dns_for_ip         middle       p256     always  chain  /CN=127.0.0.1              DNS:127.0.0.1
cn_only            middle       p256     always  chain  /CN=localhost              none
wildcard           middle       p256     always  chain  /CN=wild                   DNS:*.wild.example
page               middle       p256     always  chain  /CN=api.exemplo.com        DNS:api.exemplo.com,DNS:servidor-seguro.com
expired            middle       p256     past    chain  /CN=localhost              DNS:localhost,IP:127.0.0.1
expired_docs       middle       p256     past    chain  /CN=expired.example.com    DNS:expired.example.com
not_yet            middle       p256     future  chain  /CN=localhost              DNS:localhost,IP:127.0.0.1
expired_other      middle       p256     past    chain  /CN=other                  DNS:other.example
self_signed        self         p256     always  leaf   /CN=localhost              DNS:localhost,IP:127.0.0.1
unknown_issuer     stranger     p256     always  chain  /CN=localhost              DNS:localhost,IP:127.0.0.1
with_root          stranger     p256     always  all    /CN=localhost              DNS:localhost,IP:127.0.0.1
old_issuer         old_middle   p256     always  chain  /CN=localhost              DNS:localhost,IP:127.0.0.1
no_ca              direct       p256     always  chain  /CN=localhost              DNS:localhost,IP:127.0.0.1
partial            middle       p256     always  chain  /CN=wild                   DNS:w*.wild.example
weak               middle       rsa1024  always  chain  /CN=localhost              DNS:localhost,IP:127.0.0.1
client_only        middle       p256     always  chain  /CN=localhost              DNS:localhost,IP:127.0.0.1,clientAuth
client             middle       p256     always  chain  /CN=client.example         DNS:client.example,clientAuth
client_stranger    stranger     p256     always  chain  /CN=client.example         DNS:client.example,clientAuth
client_expired     middle       p256     past    chain  /CN=client.example         DNS:client.example,clientAuth
far                middle       p256     far     chain  /CN=localhost              DNS:localhost
utf8               middle       p256     always  chain  /C=BR/ST=São Paulo/L=São Paulo/O=Padaria Pão & Cia/OU=東京/OU=Δ, δ/CN=localhost/emailAddress=joao@example.com  DNS:localhost,IP:127.0.0.1
many               middle       rsa2048  always  chain  /CN=many                   many
pss                middle       pss2048  always  chain  /CN=localhost              DNS:localhost,IP:127.0.0.1
p384               middle       p384     always  chain  /CN=localhost              DNS:*.example,DNS:localhost,email:ca@example.com,URI:https://example.com/
p521               middle       p521     always  chain  /CN=localhost              DNS:localhost,IP:127.0.0.1,IP:::1
TABLE
}

new_key() {
  case $1 in
    p256) openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 ;;
    p384) openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 ;;
    p521) openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-521 ;;
    rsa1024) openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 ;;
    rsa2048) openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 ;;
    pss2048) openssl genpkey -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048 ;;
    ed25519) openssl genpkey -algorithm ED25519 ;;
    ed448) openssl genpkey -algorithm ED448 ;;
  esac 2>/dev/null
}

extensions() {
  echo '[extensions]'
  echo 'subjectKeyIdentifier = hash'
  if [ "$1" = ca ]; then
    echo 'basicConstraints = critical, CA:TRUE'
    echo 'keyUsage = critical, keyCertSign, cRLSign'
    return
  fi
  echo 'basicConstraints = critical, CA:FALSE'
  echo 'authorityKeyIdentifier = keyid'
  names=${1%,clientAuth}
  if [ "$1" = many ]; then
    names=$(seq -f 'DNS:host-%g.many.example' -s , 100),IP:192.0.2.1,IP:2001:db8::1,IP:::ffff:192.0.2.2
  fi
  case $1 in *,clientAuth) use=clientAuth ;; *) use=serverAuth ;; esac
  echo "extendedKeyUsage = $use"
  if [ "$names" != none ]; then echo "subjectAltName = $names"; fi
}

work=$(mktemp -d "$folder.XXXXXX")
trap 'rm -rf "$work"' EXIT
cp "$0" "$work/made" # what it was made from; also its date

cat >"$work/openssl.cnf" <<END
[ca]
default_ca = specs
[specs]
database = $work/index
new_certs_dir = $work
default_md = sha256
policy = anything
unique_subject = no
rand_serial = yes
copy_extensions = none
[anything]
countryName = optional
stateOrProvinceName = optional
localityName = optional
organizationName = optional
organizationalUnitName = optional
emailAddress = optional
commonName = supplied
[req]
distinguished_name = empty
[empty]
END
: >"$work/index"

table | while read -r name issuer key dates sent rest; do
  subject=${rest%%  *}
  wanted=${rest##* }
  case $dates in always) dates=$always ;; past) dates=$past ;; future) dates=$future ;; far) dates=$far ;; esac
  new_key "$key" >"$work/$name.key"
  extensions "$wanted" >"$work/$name.ext"
  openssl req -new -utf8 -config "$work/openssl.cnf" -key "$work/$name.key" -subj "$subject" -out "$work/$name.csr"
  if [ "$issuer" = self ]; then
    by="-selfsign -keyfile $work/$name.key"
  else
    by="-cert $work/$issuer.pem -keyfile $work/$issuer.key"
  fi
  # shellcheck disable=SC2086 # $by is several words
  openssl ca -config "$work/openssl.cnf" -batch -notext -preserveDN $by \
    -startdate "${dates% *}" -enddate "${dates#* }" \
    -extfile "$work/$name.ext" -extensions extensions \
    -in "$work/$name.csr" -out "$work/$name.pem" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
  # A server sends all but the root, unless SENT is `all`.
  case $sent:$issuer in
    leaf:* | chain:root | chain:stranger | *:self) ;;
    *) cp "$work/$issuer.pem" "$work/$name.chain"; cat "$work/$name.chain" >>"$work/$name.pem" ;;
  esac
  rm -f "$work/$name.csr" "$work/$name.ext"
done

mkdir "$work/hashed"
cp "$work/root.pem" "$work/hashed/$(openssl x509 -in "$work/root.pem" -noout -subject_hash).0"
rm -f "$work"/[0-9A-F]*.pem "$work/log" "$work"/index* "$work/openssl.cnf"

rm -rf "$folder"
mv "$work" "$folder"
