import { type CreatorsOf, compile, EmailAddress, mailSubject, oneLine } from '@fleetgate/kit'
import type { Cluster } from '../clusters/cluster.js'
import type { Mails } from '../mail/mail.js'
import type { Smtp } from '../smtp/smtp.js'
import type { OperationKind, OperationState } from './operation.js'

export const noticeChoices = ['all', 'failed', 'none'] as const
export type NoticeChoice = (typeof noticeChoices)[number]

export interface NoticesDeps {
  smtp: Pick<Smtp, 'hasServer'>
  mails: Pick<Mails, 'keep'>
  /** Who is who by now. */
  creatorsOf: CreatorsOf
  /** Of which operations a mail tells. */
  choice: NoticeChoice
}

const words: Record<OperationKind, string> = {
  create: 'installation',
  delete: 'removal',
  add_hosts: 'adding hosts',
  delete_hosts: 'removing hosts',
  pubkeys: 'change of SSH keys',
  registries: 'change of registries',
  apply: 'apply'
}
const ends: Record<OperationState, string> = {
  RUNNING: 'goes on',
  SUCCESS: 'finished',
  FAILED: 'failed',
  CANCELLED: 'was cancelled'
}
const checkAddress = compile(EmailAddress)
const mostProblems = 100
const longestProblem = 500

/**
 * Mails how an operation has ended to who asked for it and to the cluster's owner, where the tenant has an SMTP server. The same
 * end again is the same mail.
 */
export function createNotices({ smtp, mails, creatorsOf, choice }: NoticesDeps) {
  return async (cluster: Cluster): Promise<void> => {
    const { tenantId, operation } = cluster
    if (choice === 'none' || (choice === 'failed' && operation.state !== 'FAILED')) return
    if (!(await smtp.hasServer(tenantId))) return
    const to = await recipientsOf(cluster)
    if (to.length === 0) return
    await mails.keep({ tenantId, to, ...noticeOf(cluster) })
  }

  /**
   * At the addresses that they have by now, without those who were deleted. Where auth does not answer within its 2 s, and for
   * those whom it does not know, it is the address of when they asked; who acts with a service token may have none.
   */
  async function recipientsOf({ tenantId, userId, owner, operation }: Cluster): Promise<string[]> {
    const people = [operation.by, { userId, name: owner }]
    const users = await creatorsOf(
      tenantId,
      people.map((person) => person.userId)
    )
    const addresses = people.flatMap((person) => {
      const user = users?.get(person.userId)
      return user?.isDeleted ? [] : [user?.email || person.name]
    })
    return [...new Set(addresses)].filter(isAddress)
  }
}

function isAddress(text: string): boolean {
  try {
    checkAddress(text)
    return true
  } catch {
    return false
  }
}

export function noticeOf({ id, name, operation }: Cluster): { messageId: string; subject: string; text: string } {
  const { kind, state, attempt, message, problems, hosts, by, createdAt, againAt = createdAt, endedAt } = operation
  const what = `Cluster ${name}: ${words[kind]} ${ends[state]}`
  const wrong = problems.slice(0, mostProblems).map(({ ip, message: problem }) => {
    const text = oneLine(problem).slice(0, longestProblem)
    return ip ? `${ip}: ${text}` : text
  })
  if (problems.length > mostProblems) wrong.push(`and ${problems.length - mostProblems} more`)
  const lines = [
    `${what}${state === 'FAILED' ? `: ${oneLine(message)}` : ''}`,
    '',
    `asked for by: ${oneLine(by.name)}`,
    `begun: ${new Date(againAt).toISOString()}`,
    ...(endedAt === undefined ? [] : [`ended: ${new Date(endedAt).toISOString()}`]),
    `hosts: ${hosts.length}`,
    `attempt: ${attempt}`,
    ...(wrong.length > 0 ? ['', 'what is wrong:', ...wrong] : []),
    '',
    `see: /v1/operations/${operation.id}, /v1/cluster/${id}`
  ]
  // A retry is a further attempt of the same operation, and ends anew.
  return {
    messageId: `operation:${operation.id}:${attempt}`,
    subject: mailSubject(what),
    text: `${lines.join('\n')}\n`
  }
}
