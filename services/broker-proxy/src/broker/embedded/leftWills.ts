import type { BrokerRules, InboundMessage, Session } from '../brokerDriver.js'
import { mountPoint } from './hooks.js'
import { type KeptSessions, sessionOf } from './sessions/keptSessions.js'
import type { WillRecord } from './sessions/records.js'

export interface LeftWillParts {
  kept: KeptSessions
  rules: Pick<BrokerRules, 'onMessage'>
  publish(mounted: InboundMessage): Promise<void>
  onFailed(error: unknown): void
}

/**
 * Wills of clients that were connected when an earlier process ended: their connections ended without a DISCONNECT then.
 * They obey the same rules as those of clients that go today. One that cannot be published stays for the next start.
 */
export async function publishLeftWills(wills: WillRecord[], parts: LeftWillParts): Promise<void> {
  await Promise.all(wills.map((will) => publishWill(will, parts).catch(parts.onFailed)))
}

async function publishWill({ facts, ...will }: WillRecord, { kept, rules, publish }: LeftWillParts): Promise<void> {
  const session: Session = sessionOf(facts)
  const message = { ...will, payload: Buffer.from(will.payload, 'base64') }
  const verdict = await rules.onMessage(session, message)
  if (verdict === 'forward') await publish({ ...message, topic: mountPoint(session) + message.topic })
  kept.dropWill(facts.clientId, facts.connectedAt)
}
