import { randomBytes } from 'node:crypto'
import { createGuard, type Guard } from '@fleetgate/kit'
import { quietLog, testGuardKeys } from '@fleetgate/testkit'

const measureMs = 1_000
const freshTokens = 2_000

/** Checks per second on one core: of tokens seen before, of tokens never seen, and of service tokens seen before. */
export async function measureChecks(): Promise<string[][]> {
  const keys = testGuardKeys()
  const caller = {
    userId: '1',
    tenantId: 't1',
    email: 'a@b.c',
    nickname: 'a',
    isSuperAdmin: false,
    codes: [],
    version: 1
  }
  const guard = await createGuard({
    log: quietLog,
    keys: async () => keys.keys,
    verifyServiceToken: async () => ({ tokenId: 'x', caller, codes: ['job.view'], expiresAt: Date.now() + 60_000 })
  })
  const program = `fgt_${randomBytes(16).toString('hex')}_${randomBytes(32).toString('base64url')}`
  await guard.verify({ bearer: program }, '')
  const rows = [
    ['signed, seen before', rate(known(guard, keys.token()))],
    [
      'signed, never seen',
      rate(
        fresh(
          guard,
          Array.from({ length: freshTokens }, (_, id) => keys.token({ userId: `${id}` }))
        )
      )
    ],
    ['service token, seen before', rate(known(guard, program))]
  ]
  await guard.close()
  return rows
}

function rate(perSecond: number): string {
  return Math.round(perSecond).toLocaleString('en')
}

function known(guard: Guard, token: string): number {
  guard.token(token)
  const start = performance.now()
  let count = 0
  for (; performance.now() - start < measureMs; count += 100) for (let i = 0; i < 100; i++) guard.token(token)
  return (count * 1000) / (performance.now() - start)
}

function fresh(guard: Guard, tokens: string[]): number {
  const start = performance.now()
  for (const token of tokens) guard.token(token)
  return (tokens.length * 1000) / (performance.now() - start)
}
