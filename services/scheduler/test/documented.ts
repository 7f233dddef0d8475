/**
 * Every route of the document with the words of its query and the fields of its reply, `list.` before those of a row.
 * The jobs in the document's reply of a client's tasks are left out: its query and its name speak of tasks.
 */
export interface Documented {
  route: string
  query: string[]
  reply: string[]
}

const edited =
  'assignmentsChangedAtGte assignmentsChangedAtLte createAtGte createAtLte enabled lastEditedAtGte lastEditedAtLte lastRunAtGte lastRunAtLte'
const seen =
  'connectedAtGte connectedAtLte createAtGte disconnectedAtGte disconnectedAtLte enabled mqttClientId mqttClientIdContain status username usernameContain clientId'

const rows: [route: string, query: string, reply: string][] = [
  [
    'GET /v1/clients',
    `${seen} createAtLte pageNo pageSize`,
    'list list.clientId list.createAt list.enable list.role list.status list.username total'
  ],
  ['POST /v1/clients', '', 'connnectedAt disconnnetedAt enable ip mqttClientId role status username'],
  ['PUT /v1/clients', '', 'desc'],
  ['DELETE /v1/clients/:clientId', '', 'clientId'],
  [
    'GET /v1/clients/:clientId/attributes',
    'pageNo pageSize',
    'list list.attributeId list.attributeName list.attributeValue list.display list.readOnly list.type total'
  ],
  ['POST /v1/clients/:clientId/attributes', '', 'desc'],
  ['GET /v1/clients/:clientId/attributes/count', '', 'count'],
  ['GET /v1/clients/:clientId/countInfo', '', 'attributes group jobs tasks'],
  ['GET /v1/clients/:clientId/details', '', 'clientId connectedAt createAt disconnectedAt enable status username'],
  ['PUT /v1/clients/:clientId/disable', '', 'desc'],
  ['PUT /v1/clients/:clientId/enable', '', 'desc'],
  ['GET /v1/clients/:clientId/groups', 'pageNo pageSize', 'list list.groupId list.lastEditedAt list.type total'],
  ['PUT /v1/clients/:clientId/groups', '', ''],
  ['GET /v1/clients/:clientId/groups/count', '', 'count'],
  [
    'GET /v1/clients/:clientId/jobs',
    `${edited} jobName jobNameContain pageNo pageSize`,
    'list list.jobId list.jobName list.jobScheduler list.maxJobDuration list.maxRetryTime list.targetClientGroup list.tasks total'
  ],
  ['PUT /v1/clients/:clientId/jobs', '', ''],
  ['GET /v1/clients/:clientId/jobs/count', '', 'count'],
  ['PUT /v1/clients/:clientId/jobs/remove', '', ''],
  [
    'GET /v1/clients/:clientId/tasks',
    `${edited} pageNo pageSize taskName taskNameContain`,
    'list list.taskId list.taskName total'
  ],
  [
    'GET /v1/clients/allInfo',
    `${seen} createAtLte pageNo pageSize`,
    'list list.clientId list.createAt list.enable list.groups list.jobs list.role list.status list.tasks list.username total'
  ],
  ['GET /v1/clients/settings', '', 'autoEnableNewClient clientSettingsId'],
  ['POST /v1/clients/settings', '', 'autoEnableNewClient clientSettingsId'],
  ['PUT /v1/config/maintenance', '', 'opt optionIds optionType targetId targetType'],
  ['GET /v1/dashboard/info', '', 'alerts clients groups jobs tasks tasksHistory'],
  ['GET /v1/dashboard/logs/count', '', 'clients jobs'],
  ['GET /v1/dashboard/onlineClients', 'endTime interval startTime', 'clientCount time'],
  [
    'GET /v1/dashboard/reports',
    '',
    'Groups clients clientsDisabled clientsOffline clientsOnline jobFailed jobNotExecuted jobSuccess jobs tasks'
  ],
  ['GET /v1/dashboard/scheduledJobs', 'end now start', 'actualEndAt actualStartAt clients endAt jobId result startAt'],
  ['GET /v1/groups', 'groupName pageNo pageSize', 'list list.groupId list.groupName list.lastEditedAt list.type total'],
  [
    'POST /v1/groups',
    '',
    'assignmentsChangedAt description enabled groupId groupName lastRefreshedAt membershipChangedAt queryOperation queryProperty queryValue type'
  ],
  ['PUT /v1/groups', '', 'desc'],
  ['DELETE /v1/groups/:groupId', '', ''],
  [
    'GET /v1/groups/:groupId/clients',
    'pageNo pageSize',
    'list list.clientId list.createAt list.enable list.role list.status list.username total'
  ],
  ['PUT /v1/groups/:groupId/clients', '', ''],
  [
    'GET /v1/jobs',
    `${edited} jobName jobNameContain pageNo pageSize`,
    'list list.assignmentsChanged list.created list.cycleType list.description list.enabled list.executionTime list.jobId list.jobName list.lastEditedAt list.lastRun list.maxRetryTimes list.priority list.retryWait list.tasks total'
  ],
  [
    'POST /v1/jobs',
    '',
    'assignmentsChanged createdAt cycleType description enable enabled executionTime jobId jobName lastEditedAt lastRunAt maxRetries maxRetryTimes priority retryWait tasks'
  ],
  ['PUT /v1/jobs', '', 'desc'],
  ['DELETE /v1/jobs/:jobId', '', ''],
  [
    'GET /v1/jobs/:jobId/clients',
    `${seen} pageNo pageSize`,
    'list list.clientId list.connectAt list.createAt list.disconnectAt list.enable list.mqttClientId list.status list.username total'
  ],
  ['PUT /v1/jobs/:jobId/clients', '', ''],
  ['GET /v1/jobs/:jobId/clients/count', '', 'count'],
  ['PUT /v1/jobs/:jobId/clients/remove', '', ''],
  ['GET /v1/jobs/:jobId/countInfo', '', 'clients groups tasks'],
  [
    'GET /v1/jobs/:jobId/details',
    '',
    'executionOpt executionOpt.cycleType executionOpt.duration executionOpt.executionTime executionOpt.maxRetries executionOpt.priority executionOpt.retryWait general general.assignmentsChanged general.createdAt general.description general.enabled general.jobName general.lastEditedAt general.lastRunAt'
  ],
  ['PUT /v1/jobs/:jobId/disable', '', ''],
  ['PUT /v1/jobs/:jobId/enable', '', ''],
  [
    'GET /v1/jobs/:jobId/groups',
    'groupName pageNo pageSize',
    'list list.assignmentsChangedAt list.createdAt list.description list.enabled list.groupId list.groupName list.lastEditedAt list.lastRefreshedAt list.membershipChangedAt list.queryOperation list.queryProperty list.queryValue list.type total'
  ],
  ['PUT /v1/jobs/:jobId/groups', '', ''],
  ['GET /v1/jobs/:jobId/groups/count', '', 'count'],
  ['PUT /v1/jobs/:jobId/groups/remove', '', ''],
  ['GET /v1/jobs/:jobId/run', '', ''],
  [
    'GET /v1/jobs/:jobId/tasks',
    `${edited} pageNo pageSize taskName taskNameContain`,
    'list list.assignmentsChangedAt list.createdAt list.description list.disableValidation list.enabled list.lastEditedAt list.lastRunAt list.priority list.taskId list.taskName total'
  ],
  ['PUT /v1/jobs/:jobId/tasks', '', ''],
  ['GET /v1/jobs/:jobId/tasks/count', '', 'count'],
  ['PUT /v1/jobs/:jobId/tasks/remove', '', ''],
  [
    'GET /v1/jobs/allInfo',
    `${edited} jobName jobNameContain pageNo pageSize`,
    'list list.clients list.groups list.jobId list.jobName list.maxRetryTime list.tasks total'
  ],
  ['GET /v1/jobs/settings', '', 'enable maxConcurrentSession maxRetried retryWait'],
  ['POST /v1/jobs/settings', '', 'enable maxConcurrentSession maxRetried retryWait'],
  [
    'GET /v1/logs/clients',
    'clientId jobId pageNo pageSize startAt status',
    'list list.clientId list.endTime list.ipAddress list.jobDesc list.jobId list.jobName list.mqttClientId list.role list.startTime list.status list.username total'
  ],
  [
    'GET /v1/logs/clients/jobs',
    'pageNo pageSize startAt status',
    'list list.endTime list.jobDesc list.jobId list.jobName list.nowTime list.reportId list.startTime list.status total'
  ],
  [
    'GET /v1/logs/clients/jobs/tasks',
    'clientId jobId pageNo pageSize reportId startAt',
    'list list.disableValidation list.endTime list.nowTime list.order list.priority list.startTime list.status list.taskDesc list.taskId list.taskName total'
  ],
  [
    'GET /v1/logs/clients/jobs/tasks/scripts',
    'clientId jobId pageNo pageSize reportId startAt taskId',
    'code data data.list data.list.block data.list.createFilePath data.list.filePath data.list.id data.list.messages data.list.order data.list.reportId data.list.scriptId data.list.targetFilePath data.list.type data.total'
  ],
  [
    'GET /v1/logs/clients/overview',
    '',
    'list list.clientId list.ipAddress list.mqttClientId list.status list.username total'
  ],
  [
    'GET /v1/logs/jobs',
    'pageNo pageSize startAt status',
    'list list.LastEditedAt list.duration list.endTime list.executionTime list.jobDesc list.jobId list.jobName list.priority list.startTime list.status total'
  ],
  [
    'GET /v1/logs/jobs/clients',
    'jobId pageNo pageSize startAt status',
    'list list.clientId list.ipAddress list.mqttClientId list.reportId list.status list.username total'
  ],
  [
    'GET /v1/logs/jobs/clients/tasks',
    'clientId jobId pageNo pageSize reportId startAt',
    'list list.disableValidation list.endTime list.nowTime list.order list.priority list.startTime list.status list.taskDesc list.taskId list.taskName total'
  ],
  [
    'GET /v1/logs/jobs/clients/tasks/scripts',
    'clientId jobId pageNo pageSize reportId startAt taskId',
    'code data data.list data.list.block data.list.createFilePath data.list.filePath data.list.id data.list.messages data.list.order data.list.reportId data.list.scriptId data.list.targetFilePath data.list.type data.total'
  ],
  [
    'GET /v1/logs/scripts',
    'clientId jobId taskId',
    'list list.createFilePath list.endTime list.filePath list.ignoreHiddenFile list.isItem list.maxRetryTime list.message list.order list.recvFileScriptId list.scriptId list.startTime list.status list.targetFilePath list.transferOperation list.type total'
  ],
  [
    'GET /v1/logs/tasks',
    'clientId jobId',
    'list list.disableValidation list.endTime list.order list.priority list.reportId list.startTime list.status list.taskId list.taskName total'
  ],
  ['GET /v1/settings', '', 'adminTimeOut communicationServerTimeZone managementServerTimeZone region'],
  ['POST /v1/settings', '', 'adminTimeOut communicationServerTimeZone managementServerTimeZone region'],
  [
    'GET /v1/settings/attributes',
    'pageNo pageSize',
    'list list.attributeId list.attributeName list.defaultValue list.display list.readOnly list.type total'
  ],
  ['POST /v1/settings/attributes', '', 'attributeName attributesId defaultValue display readOnly type'],
  ['DELETE /v1/settings/attributes/:attributeId', '', ''],
  [
    'GET /v1/tasks',
    `${edited} pageNo pageSize taskName taskNameContain`,
    'list list.assignmentsChangedAt list.createdAt list.description list.disableValidation list.enabled list.lastEditedAt list.lastRunAt list.priority list.taskId list.taskName total'
  ],
  ['POST /v1/tasks', '', 'assignmentsChangedAt description disableValidation enabled lastRunAt name priority taskId'],
  ['PUT /v1/tasks', '', 'desc'],
  ['DELETE /v1/tasks/:taskId', '', ''],
  [
    'GET /v1/tasks/:taskId/clients',
    `${seen} createAtLte pageNo pageSize`,
    'list list.clientId list.createAt list.enable list.status list.username total'
  ],
  ['GET /v1/tasks/:taskId/countInfo', '', ''],
  [
    'GET /v1/tasks/:taskId/details',
    '',
    'assignmentsChangedAt createdAt description disableValidation enabled lastEditedAt lastRunAt name priority taskId'
  ],
  ['PUT /v1/tasks/:taskId/disable', '', ''],
  ['PUT /v1/tasks/:taskId/enable', '', ''],
  [
    'GET /v1/tasks/:taskId/jobs',
    `${edited} jobName jobNameContain pageNo pageSize`,
    'list list.jobId list.jobName list.jobScheduler list.maxJobDuration list.maxRetryTime list.targetClientGroup list.tasks total'
  ],
  ['PUT /v1/tasks/:taskId/jobs', '', ''],
  ['GET /v1/tasks/:taskId/jobs/count', '', 'count'],
  ['PUT /v1/tasks/:taskId/jobs/remove', '', ''],
  ['GET /v1/tasks/:taskId/scripts', '', 'script'],
  ['POST /v1/tasks/:taskId/scripts', '', 'scriptId scriptType'],
  [
    'GET /v1/tasks/allInfo',
    `${edited} pageNo pageSize taskName taskNameContain`,
    'list list.clients list.description list.enable list.jobs list.lastEditedAt list.lastTimeRun list.priority list.scripts list.taskId list.taskName total'
  ],
  [
    'GET /v1/tasks/histories',
    'mqttClientId pageNo pageSize taskName',
    'list list.enabled list.mqttClientId list.priority list.result list.taskName list.taskScript list.ts total'
  ],
  ['GET /v1/tasks/settings', '', 'disableValidation enable jobsSettingId priority'],
  ['POST /v1/tasks/settings', '', 'disableValidation enable priority tasksSettingId']
]

export const documented: Documented[] = rows.map(([route, query, reply]) => ({
  route,
  query: query.split(' ').filter(Boolean),
  reply: reply.split(' ').filter(Boolean)
}))
