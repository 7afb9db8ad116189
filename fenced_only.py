import sys, tests.acceptance.test_lab_faults as t
class Only(t.FaultTests):
    def test_faults(self):
        import time
        for f in (self.fenced,):
            b=time.monotonic(); f(); self.campaign.mend(); self.campaign.await_jobs(2); self.tell(f"{f.__name__} {time.monotonic()-b:.1f}")
        self.judge()
