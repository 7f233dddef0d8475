/** `white_remote_address`: IPv4 addresses, comma-separated, with `*` for whole octets (`192.168.*.*`). */
const entryPattern = /^(?:(?:25[0-5]|2[0-4]\d|1?\d?\d|\*)(?:\.|$)){4}$/

export function isAddressList(text: string): boolean {
  return entriesOf(text).every((entry) => !entry.endsWith('.') && entryPattern.test(entry))
}

/** False for an empty list: it names nobody. */
export function isListed(list: string, address: string): boolean {
  return entriesOf(list).some((entry) => covers(entry, address))
}

function covers(entry: string, address: string): boolean {
  const wanted = entry.split('.')
  const given = address.split('.')
  return wanted.length === given.length && wanted.every((octet, index) => octet === '*' || octet === given[index])
}

function entriesOf(list: string): string[] {
  return list
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '')
}
