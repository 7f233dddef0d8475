import type { Log } from '@fleetgate/contracts'
import type { BrokerDriver } from '../broker/brokerDriver.js'
import type { MaybeExtras } from '../broker/brokerFacts.js'
import { isListed } from './addressList.js'
import type { MqttUser } from './users.js'

export interface RevocationParts {
  driver: Pick<BrokerDriver, 'sessions' | 'disconnect' | 'recheck'> & MaybeExtras
  whitelistAsRocketMq: boolean
  log: Log
}

/**
 * What a change of a user means for those who are connected: a deleted user, a new secret or a list without the address
 * ends the connection; a right that is gone ends the subscriptions that stood on it, those of absent clients too.
 */
export function createRevocation({ driver, whitelistAsRocketMq, log }: RevocationParts) {
  return function revoke(before: MqttUser | undefined, after: MqttUser | undefined): void {
    if (!before) return
    for (const session of [...driver.sessions()]) {
      if (session.username !== before.accessKey) continue
      const reason = reasonToGo(before, after, session)
      if (reason) driver.disconnect(session, reason)
      else driver.recheck(session)
    }
    driver.control
      ?.dropForbidden(before.accessKey)
      .catch((err) => log.error({ err, accessKey: before.accessKey }, 'subscriptions without a right not ended'))
  }

  function reasonToGo(
    before: MqttUser,
    after: MqttUser | undefined,
    session: { tenantId: string; ip: string }
  ): string | undefined {
    if (!after) return 'user deleted'
    if (after.secretKey !== before.secretKey || after.tenantId !== session.tenantId) return 'user changed'
    const isRestricted = !whitelistAsRocketMq && after.whiteRemoteAddress.trim() !== ''
    return isRestricted && !isListed(after.whiteRemoteAddress, session.ip) ? 'address no longer listed' : undefined
  }
}
