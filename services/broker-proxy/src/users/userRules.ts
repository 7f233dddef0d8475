import { AppError } from '@fleetgate/contracts'
import { isFilter } from '../broker/topics.js'
import { isAddressList } from './addressList.js'
import type { UserDraft } from './users.js'

const maxGrants = 1000

/** DMS: 7 to 64 letters, digits, `-` and `_`, a letter in front. */
export function checkName(accessKey: string): void {
  if (/^[A-Za-z][A-Za-z0-9_-]{6,63}$/.test(accessKey)) return
  const reason = 'must have 7 to 64 letters, digits, - and _, a letter in front'
  throw invalid('access_key', reason, { wireCode: 'DMS.00400015' })
}

export function checkUser(accessKey: string, draft: UserDraft): void {
  checkSecret(accessKey, draft.secretKey)
  if (!isAddressList(draft.whiteRemoteAddress)) {
    throw invalid('white_remote_address', 'must be IPv4 addresses separated by commas, * for an octet')
  }
  if (draft.topicPerms.length > maxGrants) throw invalid('topic_perms', `must have at most ${maxGrants} entries`)
  // `a/#/b` would be read as `a/#`: more than whoever wrote it meant.
  const wrong = draft.topicPerms.find(({ name }) => !isFilter(name))
  if (wrong) throw invalid('topic_perms', `has "${wrong.name.slice(0, 100)}", which is no topic and no filter`)
  if (draft.groupPerms.length > maxGrants) throw invalid('group_perms', `must have at most ${maxGrants} entries`)
}

const specials = '`~!@#$%^&*()-_=+\\|[{}];:\'",<.>/?'

/** DMS: 8 to 32 characters of at least three kinds, no `-` in front, neither the user name nor its reverse. */
function checkSecret(accessKey: string, secret: string): void {
  if (secret.length < 8 || secret.length > 32) throw badSecret('must have 8 to 32 characters')
  const isSpecial = [...secret].some((char) => specials.includes(char))
  const kinds = [/[A-Z]/.test(secret), /[a-z]/.test(secret), /[0-9]/.test(secret), isSpecial].filter(Boolean)
  if (![...secret].every((char) => /[A-Za-z0-9]/.test(char) || specials.includes(char))) {
    throw badSecret('has characters that are not allowed')
  }
  if (kinds.length < 3) throw badSecret('must mix three of upper case, lower case, digits and special characters')
  if (secret.startsWith('-')) throw badSecret('must not start with -')
  if (secret === accessKey || secret === [...accessKey].reverse().join('')) {
    throw badSecret('must not be the user name or its reverse')
  }
}

function badSecret(reason: string): AppError {
  return invalid('secret_key', reason, { wireCode: 'DMS.00400012' })
}

function invalid(field: string, reason: string, details: Record<string, unknown> = {}): AppError {
  return new AppError('invalid_input', `${field} ${reason}`, { field, reason, ...details })
}
