import { type Filled, nameOf } from './fill.js'

/** What consoles and programs ask of a large fleet: by the name of the row in the table. */
export function questions({ clientIds, jobId, runId }: Filled, rows: number): [name: string, path: string][] {
  const clientId = clientIds[clientIds.length >> 1] ?? 0
  const page = (pageNo: number, pageSize: number) => `pageNo=${pageNo}&pageSize=${pageSize}`
  const deep = (count: number, pageSize: number) => page(Math.max(1, Math.floor(count / pageSize / 2)), pageSize)
  const report = `jobId=${jobId}&clientId=${clientIds[0] ?? 0}&reportId=${runId}-${clientIds[0] ?? 0}`
  return [
    ['clients, first page', `/v1/clients?${page(1, 50)}`],
    ['clients, middle page', `/v1/clients?${deep(clientIds.length, 50)}`],
    ['clients that are online', `/v1/clients?status=ONLINE&${page(1, 50)}`],
    ['clients, one by name', `/v1/clients?mqttClientId=${nameOf(clientId)}&${page(1, 50)}`],
    ['clients, part of a name', `/v1/clients?mqttClientIdContain=${clientId}&${page(1, 50)}`],
    ['one client', `/v1/clients/${clientId}/details`],
    ['clients of a query group', `/v1/groups/${groupMark}/clients?${page(1, 50)}`],
    ['runs', `/v1/logs/jobs?status=ALL&${page(1, 50)}`],
    ['a job on its clients', `/v1/logs/jobs/clients?status=ALL&jobId=${jobId}&${page(1, 50)}`],
    [
      'a run on its clients, failed',
      `/v1/logs/jobs/clients?status=FAILED&jobId=${jobId}&runId=${runId}&${page(1, 50)}`
    ],
    ['a job on its clients, failed', `/v1/logs/jobs/clients?status=FAILED&jobId=${jobId}&${page(1, 50)}`],
    ['a job on its clients, running', `/v1/logs/jobs/clients?status=RUNNING&jobId=${jobId}&${page(1, 50)}`],
    ['log of clients, first page', `/v1/logs/clients?status=ALL&${page(1, 50)}`],
    ['log of clients, page 1000', `/v1/logs/clients?status=ALL&${page(Math.min(1000, Math.ceil(rows / 100)), 50)}`],
    ['log of clients, failed', `/v1/logs/clients?status=FAILED&${page(1, 50)}`],
    ['log of one client', `/v1/logs/clients?status=ALL&clientId=${clientId}&${page(1, 50)}`],
    ['overview of clients', `/v1/logs/clients/overview?${page(1, 50)}`],
    ['tasks of a report', `/v1/logs/jobs/clients/tasks?status=ALL&${report}&${page(1, 50)}`],
    ['histories of tasks', `/v1/tasks/histories?${page(1, 50)}`],
    ['dashboard', '/v1/dashboard/info']
  ]
}

/** Stands in a path for the number of the query group, which is made by the bench. */
export const groupMark = '{group}'
