/** Below it stand the topics of the default MQTT credential, `mqtt@<tenant>`. */
export function mqttPrefix(tenantId: string): string {
  return `beaver-iot/mqtt@${tenantId}`
}

/** MQTT 3.1.1, 4.7: `+` is one whole level, `#` the whole rest. */
export function isTopicFilter(filter: string): boolean {
  const levels = filter.split('/')
  return (
    filter !== '' &&
    !filter.includes('\0') &&
    levels.every((level, index) => {
      if (level === '#') return index === levels.length - 1
      return level === '+' || !/[+#]/.test(level)
    })
  )
}

/** Wildcards at the start do not match topics of the system (`$…`), as 4.7.2 says. */
export function matchesTopic(filter: string, topic: string): boolean {
  if (topic.startsWith('$') && /^[+#]/.test(filter)) return false
  const wanted = filter.split('/')
  const levels = topic.split('/')
  for (const [index, level] of wanted.entries()) {
    if (level === '#') return true
    if (index >= levels.length || (level !== '+' && level !== levels[index])) return false
  }
  return wanted.length === levels.length
}
