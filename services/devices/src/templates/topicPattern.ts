import { AppError } from '@fleetgate/kit'
import { identifierPattern } from '../entities/entityKeys.js'

const deviceLevel = '{device}'
export const maxDeviceId = 64

/** Answers the device that a topic names: nothing where it does not match, a reason where no device can have that name. */
export type TopicMatch = (topic: string) => { device: string } | { reason: string } | undefined

const deviceId = new RegExp(identifierPattern)

export function isDeviceId(text: string): boolean {
  return text.length <= maxDeviceId && deviceId.test(text)
}

export function matcherOf(pattern: string): TopicMatch {
  const wanted = pattern.split('/')
  const place = wanted.indexOf(deviceLevel)
  return (topic) => {
    const levels = topic.split('/')
    const fits =
      levels.length === wanted.length &&
      wanted.every((want, index) => index === place || want === '+' || want === levels[index])
    if (!fits) return undefined
    const device = levels[place] ?? ''
    return isDeviceId(device)
      ? { device }
      : { reason: 'names a device with characters that an identifier may not have' }
  }
}

export function topicOf(pattern: string, device: string): string {
  return pattern.replace(deviceLevel, device)
}

/** Throws `invalid_input`. Wildcards are for what comes in. */
export function checkTopic(field: string, pattern: string, { takesWildcard }: { takesWildcard: boolean }): void {
  const levels = pattern.split('/')
  const refuse = (reason: string): never => {
    throw new AppError('invalid_input', `${field} ${reason}`, { field })
  }
  if (levels.filter((level) => level === deviceLevel).length !== 1) refuse(`needs ${deviceLevel} as one of its levels`)
  if (pattern.startsWith('$')) refuse('may not begin with $')
  if (levels[0] === 'fleet') refuse('may not be one of the fleet: those belong to its machines')
  const isPlain = (level: string) =>
    !/[+#{}\0]/.test(level) || level === deviceLevel || (takesWildcard && level === '+')
  if (!levels.every(isPlain)) refuse(takesWildcard ? 'has a level that is neither a name nor +' : 'has a wildcard')
}
