""" A data unit at one Pilot-Data is replicated to another one. """
import os
from pilot import PilotDataService, ComputeDataService

COORDINATION_URL = os.getenv("COORDINATION_URL", "redis://localhost:6379")

if __name__ == "__main__":
    base_dir = os.path.join(os.getcwd(), "work")
    os.makedirs(base_dir)
    with open(os.path.join(base_dir, "test.txt"), "w") as f:
        f.write("words of the user\n")
    pilot_data_service = PilotDataService(coordination_url=COORDINATION_URL)
    pd1 = pilot_data_service.create_pilot(pilot_data_description={
        "service_url": "file://localhost" + base_dir + "/pilotdata-1", "size": 100})
    pd2 = pilot_data_service.create_pilot(pilot_data_description={
        "service_url": "file://localhost" + base_dir + "/pilotdata-2", "size": 100})

    du = pd1.submit_data_unit({"file_urls": [os.path.join(base_dir, "test.txt")]})
    du.wait()
    pd2.submit_data_unit(data_unit=du)
    du.wait()
    print(du.get_state())
    print(len(du.list_pilot_data()))
    print(all(os.path.exists(os.path.join(base_dir, name, du.id, "test.txt")) for name in ("pilotdata-1", "pilotdata-2")))
    pilot_data_service.cancel()
