import { createHash, timingSafeEqual } from 'node:crypto'
import { AppError } from '@fleetgate/contracts'
import { type LogInAttempt, LogInRefused, type Session } from '../broker/brokerDriver.js'
import type { Owners } from '../clients/owners.js'
import type { Accounts } from './accounts.js'
import { isListed } from './addressList.js'
import type { LoginThrottle } from './loginThrottle.js'
import type { MqttUser } from './users.js'

export interface LogInParts {
  accounts: Pick<Accounts, 'find'>
  owners: Owners
  throttle: LoginThrottle
  /** RocketMQ lets listed addresses in without a key; off, the list only restricts. */
  whitelistAsRocketMq: boolean
  /** The tenant asks its own users for no password. */
  isOpen(tenantId: string): boolean
  now: () => number
}

const maxClientIdLength = 256

/** Answers who a CONNECT is; rejects with LogInRefused. */
export function createLogIn(parts: LogInParts): (attempt: LogInAttempt) => Promise<Session> {
  const { accounts, owners, throttle, now } = parts

  function verify(attempt: LogInAttempt): MqttUser {
    const user = accounts.find(attempt.username ?? '')
    const isListedAddress = user !== undefined && isListed(user.whiteRemoteAddress, attempt.ip)
    if (user && isListedAddress && parts.whitelistAsRocketMq) return user
    if (user && parts.isOpen(user.tenantId)) return user
    // Compared for unknown users too: the time taken must not tell which names exist.
    const isRight = isSame(attempt.password, user?.secretKey ?? '')
    if (!user || !isRight) throw new LogInRefused('credentials', 'bad user name or password')
    if (user.whiteRemoteAddress.trim() !== '' && !isListedAddress && !parts.whitelistAsRocketMq) {
      throw new LogInRefused('forbidden', 'address not listed')
    }
    return user
  }

  return async (attempt) => {
    const { clientId, ip } = attempt
    if (!isUsableId(clientId)) throw new LogInRefused('identifier', 'client id is empty, too long or not usable')
    if (throttle.isBlocked(ip, now()))
      throw new LogInRefused('unavailable', 'too many failed log-ins from this address')
    const user = verifyCounted(attempt)
    // Whoever has taken the password out of one machine must not be able to speak for another.
    if (user.machine && user.machine.clientId !== clientId) {
      throw new LogInRefused('identifier', 'this user belongs to another client id')
    }
    const connectedAt = await owners.claim(clientId, user.tenantId, now()).catch((error) => {
      if (error instanceof AppError && error.code === 'conflict') throw new LogInRefused('identifier', error.message)
      throw new LogInRefused('unavailable', 'the owner of the client id cannot be read')
    })
    // Changed while we waited: nobody would end this connection, since it is not on the list yet.
    if (accounts.find(user.accessKey) !== user) throw new LogInRefused('unavailable', 'the user has just been changed')
    return {
      tenantId: user.tenantId,
      clientId,
      username: user.accessKey,
      ip,
      port: attempt.port,
      connectedAt,
      keepalive: attempt.keepalive,
      protoVer: attempt.protoVer,
      clean: attempt.clean
    }
  }

  function verifyCounted(attempt: LogInAttempt): MqttUser {
    try {
      return verify(attempt)
    } catch (error) {
      throttle.failed(attempt.ip, now())
      throw error
    }
  }
}

/** A level of fleet/{clientId}/… : no separator, no wildcard; and a step of a URL, which `.` and `..` cannot be in any spelling. */
function isUsableId(clientId: string): boolean {
  if (clientId === '.' || clientId === '..') return false
  return clientId.length > 0 && clientId.length <= maxClientIdLength && !/[/+#\0]/.test(clientId)
}

function isSame(given: Buffer | undefined, wanted: string): boolean {
  const isEqual = timingSafeEqual(digest(given ?? Buffer.alloc(0)), digest(Buffer.from(wanted)))
  return isEqual && wanted !== ''
}

function digest(bytes: Buffer): Buffer {
  return createHash('sha256').update(bytes).digest()
}
